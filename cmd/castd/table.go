package main

import (
	"strings"
	"unicode/utf8"
)

// table is text in columns for a terminal. Columns whose heading begins with ">" are numbers, which stand at the right.
type table struct {
	head []string
	rows [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// String draws the table: two spaces between columns, none at the ends of lines. Columns that are empty in all rows are left out.
func (t *table) String() string {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		for _, r := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], len(strings.TrimPrefix(h, ">")))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		var l strings.Builder
		for i, c := range cells {
			if widths[i] == 0 {
				continue
			}
			if l.Len() > 0 {
				l.WriteString("  ")
			}
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if strings.HasPrefix(t.head[i], ">") {
				l.WriteString(space + c)
			} else {
				l.WriteString(c + space)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i] = strings.TrimPrefix(h, ">")
	}
	line(head)
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}
