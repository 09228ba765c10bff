package plugins

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/castd/castd/plugins/sdk"
)

// hidden stands for a secret.
const hidden = "(hidden)"

// HideSecrets replaces the values of secret settings.
func (p *Installed) HideSecrets() {
	p.Settings = maps.Clone(p.Settings)
	for key := range p.Settings {
		if p.Config[key].Secret {
			p.Settings[key] = hidden
		}
	}
}

// SettingShown is a setting of a plugin for people.
type SettingShown struct{ Key, Type, Value, Help string }

// SettingsShown lists the plugin's settings by key, with what is set or else the default.
func (p *Installed) SettingsShown() []SettingShown {
	var out []SettingShown
	for _, key := range slices.Sorted(maps.Keys(p.Config)) {
		s := p.Config[key]
		value := ""
		if v, ok := p.Settings[key]; ok {
			value = fmt.Sprint(v)
			if s.Secret {
				value = hidden
			}
		} else if s.Default != nil {
			value = fmt.Sprint(s.Default)
		}
		out = append(out, SettingShown{key, s.Type, value, s.Help})
	}
	return out
}

// DescribeFile describes a program that is not installed. It is a copy that is executed, as for Install.
func DescribeFile(ctx context.Context, path string) (*sdk.Description, error) {
	if err := checkProgram(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "castd-plugin-")
	if err != nil {
		return nil, fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, filepath.Base(path))
	if _, err := copyProgram(path, program); err != nil {
		return nil, err
	}
	return Describe(ctx, program, path)
}
