package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	envPrefix = "CASTD_"
	maxConfig = 1 << 20 // octets of a configuration file
)

// fill gives the flags that the command line left alone the values of the environment, and what is left those of the file.
// A key that is none of castd's is an error; one that belongs to another command is not, so that one file can serve all.
func (a *app) fill(cmd *cobra.Command) error {
	flags := cmd.Flags()
	given := make(map[string]bool)
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })

	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || given[f.Name] || f.Name == "help" {
			return
		}
		key := envName(f.Name)
		value, ok := a.env(key)
		if !ok || value == "" {
			return
		}
		given[f.Name] = true
		values := []string{value}
		if isList(f) {
			values = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		}
		for _, v := range values {
			if e := flags.Set(f.Name, v); e != nil {
				err = usagef("%s: %s", key, cause(e))
			}
		}
	})
	if err != nil || a.config == "" {
		return err
	}

	keys, err := readConfig(a.config)
	if err != nil {
		return err
	}
	known := allFlags(cmd.Root())
	for _, k := range keys {
		if err := k.set(known, flags, func(name string) bool { return given[name] }); err != nil {
			return usagef("%s:%d: %s", a.config, k.line, err)
		}
	}
	return nil
}

// set gives a key's values to the flag of its name, if the set has it and skip does not say to leave it alone. Errors do not
// name the file.
func (k *configKey) set(known []string, flags *pflag.FlagSet, skip func(name string) bool) error {
	if !slices.Contains(known, k.name) {
		if near := nearest(k.name, known); near != "" {
			return fmt.Errorf("there is no key %q; did you mean %q?", k.name, near)
		}
		return fmt.Errorf("there is no key %q; keys are the names of flags, like %q", k.name, "data-dir")
	}
	f := flags.Lookup(k.name)
	if f == nil || skip(k.name) {
		return nil
	}
	if len(k.values) > 1 && !isList(f) {
		return fmt.Errorf("%s takes one value, not a list", k.name)
	}
	for _, v := range k.values {
		if err := flags.Set(k.name, v); err != nil {
			return fmt.Errorf("%s: %s", k.name, cause(err))
		}
	}
	return nil
}

// envName returns the variable that belongs to a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

// allFlags lists the flags of all commands, sorted, except those that make no sense in a file.
func allFlags(root *cobra.Command) []string {
	seen := make(map[string]bool)
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { seen[f.Name] = f.Name != "help" && f.Name != "config" })
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(root)
	var names []string
	for name, ok := range seen {
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// configKey is one key of the file and its value, or its list's.
type configKey struct {
	name   string
	values []string
	line   int // from 1
}

// readConfig reads the file in its own order.
func readConfig(path string) ([]configKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("the configuration file %s does not exist; check --config", path)
	}
	if err == nil && info.Size() > maxConfig {
		return nil, usagef("%s is too large for a configuration file", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	keys, err := parseConfig(text)
	if at, ok := errors.AsType[*configError](err); ok {
		return nil, usagef("%s:%d: %s", path, at.line, at.msg)
	}
	return keys, nil
}

// configError is what is wrong with a file's form, and where.
type configError struct {
	line int
	msg  string
}

func (e *configError) Error() string { return e.msg }

// parseConfig reads keys and values in the file's own order. Its errors are of type *configError.
func parseConfig(text []byte) ([]configKey, error) {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, notYAML(err)
	}
	var keys []configKey
	lines := make(map[string]int)
	for _, doc := range file.Docs {
		entries, err := mapping(doc.Body)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			k := configKey{name: e.Key.String(), line: e.Key.GetToken().Position.Line}
			if text, ok := e.Key.(*ast.StringNode); ok {
				k.name = text.Value
			}
			if before := lines[k.name]; before > 0 {
				return nil, &configError{k.line, fmt.Sprintf("%s is there already, in line %d", k.name, before)}
			}
			lines[k.name] = k.line
			var value any
			if err := yaml.NodeToValue(e.Value, &value); err != nil {
				return nil, notYAML(err)
			}
			if err := k.take(value); err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// take notes a value, or those of a list.
func (k *configKey) take(value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, v := range list {
		switch v := v.(type) {
		case nil: // "key:" without a value leaves the default
		case string, bool, int, int64, uint64, float64:
			k.values = append(k.values, fmt.Sprint(v))
		default:
			return &configError{k.line, k.name + " wants a plain value or a list of them"}
		}
	}
	return nil
}

// mapping returns the entries of a document, of which an empty one has none.
func mapping(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch body := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return body.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{body}, nil
	}
	return nil, &configError{body.GetToken().Position.Line, "this is not YAML of the form \"flag: value\""}
}

// notYAML makes one line of what the parser says.
func notYAML(err error) error {
	e := &configError{line: 1, msg: "this is not YAML of the form \"flag: value\""}
	if at, ok := errors.AsType[yaml.Error](err); ok {
		if t := at.GetToken(); t != nil {
			e.line = t.Position.Line
		}
		e.msg += ": " + at.GetMessage()
	}
	return e
}
