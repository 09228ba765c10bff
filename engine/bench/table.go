package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

var columns = []string{
	"load", "castd, us/packet", "stock pion", "ratio", "delay p50 / p99, ms", "stock pion", "lost", "first picture, ms", "stock pion", "resident, MB", "stock pion",
}

// cells writes a row of a table.
func (r *Row) cells() []string {
	t, f := r.Target, r.Reference
	cpu := func(x *Result) string {
		if x.Packets == 0 {
			return fmt.Sprintf("%.2f ms/s a viewer", x.CPUIdle)
		}
		return fmt.Sprintf("%.1f", x.CPUPerPacket)
	}
	delay := func(x *Result) string {
		k := x.kind()
		if k == nil || k.Received == 0 {
			return ""
		}
		note := ""
		if x.Starved {
			note = " (tester starved)"
		}
		return fmt.Sprintf("%.1f / %.1f%s", k.DelayP50, k.DelayP99, note)
	}
	picture := func(x *Result) string {
		if x.FirstPicture == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f", x.FirstPicture)
	}
	memory := func(x *Result) string { return fmt.Sprintf("%d", x.RSS>>20) }
	lost := ""
	if k := t.kind(); k != nil && k.Expected > 0 {
		lost = fmt.Sprint(k.Lost)
	}
	ratio := ""
	if r.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio)
	}
	return []string{r.Load, cpu(t), cpu(f), ratio, delay(t), delay(f), lost, picture(t), picture(f), memory(t), memory(f)}
}

// kind returns what is told of the kind of media that the load is about.
func (r *Result) kind() *KindResult {
	if r.Video != nil {
		return r.Video
	}
	return r.Audio
}

// Markdown writes rows as a table.
func Markdown(w io.Writer, rows []*Row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Text writes rows as aligned columns.
func Text(w io.Writer, rows []*Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	return t.Flush()
}
