package apicheck

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// resolve follows a $ref within the document.
func (d *Document) resolve(v any) (map[string]any, error) {
	for range 16 {
		m := object(v)
		if m == nil {
			return nil, errors.New("the document has no object there")
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return m, nil
		}
		var at any = d.root
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = object(at)[part]
		}
		if at == nil {
			return nil, fmt.Errorf("the document has no %s", ref)
		}
		v = at
	}
	return nil, errors.New("the document refers in a circle")
}

// Validate checks a JSON value against a schema. In contrast to JSON Schema, keys of objects that no schema mentions are errors,
// so that a document that passes is complete.
func (d *Document) Validate(schema, v any) error {
	mentioned := make(map[string]bool)
	if err := d.validate(schema, v, mentioned); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(object(v))) {
		if !mentioned[key] {
			return fmt.Errorf("%s is not described", key)
		}
	}
	return nil
}

// validate notes which keys of v the schema mentions.
func (d *Document) validate(schema, v any, mentioned map[string]bool) error {
	s, err := d.resolve(schema)
	if err != nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(s))
	if i := slices.Index(keys, "type"); i > 0 { // first: of what is something else, the other rules say less
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "type")
	}
	for _, key := range keys {
		rule := s[key]
		switch key {
		case "type":
			err = checkType(rule, v)
		case "enum":
			if list, ok := rule.([]any); !ok || !slices.ContainsFunc(list, func(e any) bool { return reflect.DeepEqual(e, v) }) {
				err = fmt.Errorf("%v is not one of %v", v, rule)
			}
		case "format":
			err = checkFormat(rule, v)
		case "required":
			err = checkRequired(rule, v)
		case "properties":
			err = d.properties(object(rule), v, mentioned)
		case "items":
			err = d.items(rule, v)
		case "allOf":
			list, _ := rule.([]any)
			for _, sub := range list {
				if err == nil {
					err = d.validate(sub, v, mentioned)
				}
			}
		case "oneOf":
			err = d.oneOf(rule, v, mentioned)
		case "maxLength":
			if text, ok := v.(string); ok && float64(len(text)) > number(rule) {
				err = fmt.Errorf("%q is too long", text)
			}
		case "description", "examples", "default":
		default:
			err = fmt.Errorf("the document has the rule %s, which nobody checks", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) properties(rules map[string]any, v any, mentioned map[string]bool) error {
	o := object(v)
	for key, sub := range rules {
		mentioned[key] = true
		value, ok := o[key]
		if !ok {
			continue
		}
		if err := d.Validate(sub, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func (d *Document) items(rule, v any) error {
	list, _ := v.([]any)
	for i, item := range list {
		if err := d.Validate(rule, item); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (d *Document) oneOf(rule, v any, mentioned map[string]bool) error {
	list, _ := rule.([]any)
	var fit int
	var errs []error
	for _, sub := range list {
		of := make(map[string]bool)
		err := d.validate(sub, v, of)
		for key := range object(v) {
			if err == nil && !of[key] {
				err = fmt.Errorf("%s is not described", key)
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fit++
		maps.Copy(mentioned, of)
	}
	if fit != 1 {
		return fmt.Errorf("%d of the alternatives fit (%w)", fit, errors.Join(errs...))
	}
	return nil
}

func checkType(rule, v any) error {
	var ok bool
	switch rule {
	case "object":
		ok = object(v) != nil
	case "array":
		_, ok = v.([]any)
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(float64)
	case "integer":
		f, is := v.(float64)
		ok = is && f == math.Trunc(f)
	default:
		return fmt.Errorf("the document has the type %v", rule)
	}
	if !ok {
		return fmt.Errorf("%v is no %v", v, rule)
	}
	return nil
}

func checkFormat(rule, v any) error {
	text, ok := v.(string)
	if rule != "date-time" || !ok {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return fmt.Errorf("%q is no time of RFC 3339", text)
	}
	return nil
}

func checkRequired(rule, v any) error {
	list, _ := rule.([]any)
	for _, key := range list {
		name, _ := key.(string)
		if _, ok := object(v)[name]; !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

// number returns a number of the document, whatever type the reader of YAML gave it.
func number(v any) float64 {
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return float64(r.Int())
	case r.CanUint():
		return float64(r.Uint())
	case r.CanFloat():
		return r.Float()
	}
	return math.Inf(1)
}
