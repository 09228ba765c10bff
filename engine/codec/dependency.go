package codec

// The AV1 dependency descriptor (RTP payload format for AV1, appendix A). Each packet that carries it begins with
//
//	start_of_frame(1) end_of_frame(1) template_id(6) frame_number(16)
//
// and a key frame's first packet goes on with the structure that later template ids refer to. castd reads the layers of
// each template and what its frame is to the decode targets, and leaves differences, chains and resolutions alone.

const (
	maxTemplates = 64
	maxTargets   = 32
)

// Indications of what a frame is to a decode target.
const (
	dtiDiscardable = 1
	dtiSwitch      = 2
	dtiRequired    = 3
)

// templates is the structure that a stream's last key frame brought.
type templates struct {
	known   bool
	offset  int
	count   int
	targets int
	list    [maxTemplates]template
}

type template struct {
	spatial, temporal uint8
	discardable       bool // for all decode targets that have it
	sync              bool // a switch for some
}

// describe takes the descriptor into account; t may be nil.
func (f *finding) describe(dep []byte, t *templates) {
	f.Start, f.End = dep[0]&0x80 != 0, dep[0]&0x40 != 0
	r := bitReader{b: dep, pos: 2}
	id := int(r.bits(6))
	r.bits(16)
	var structure, active, custom bool
	if len(dep) > 3 {
		structure, active, custom = r.bit(), r.bit(), r.bit()
		r.bits(2) // custom_fdiffs_flag, custom_chains_flag
	}
	if structure {
		var local templates
		if !local.parse(&r) {
			return
		}
		f.Key = true
		f.head = true
		f.apply(&local, id)
		f.Discardable = false
		if t != nil {
			*t = local
		}
		return
	}
	if t == nil || !t.known || !f.apply(t, id) || !custom {
		return
	}
	if active {
		r.bits(t.targets)
	}
	own := template{temporal: f.Temporal}
	own.read(&r, t.targets)
	if !r.short {
		f.Discardable, f.LayerSync = own.discardable, own.sync
	}
}

// apply takes over what the template says.
func (f *finding) apply(t *templates, id int) bool {
	i := (id + maxTemplates - t.offset) % maxTemplates
	if i >= t.count {
		return false
	}
	e := t.list[i]
	f.Spatial, f.Temporal, f.Discardable, f.LayerSync = e.spatial, e.temporal, e.discardable, e.sync
	f.head = true
	return true
}

// parse reads the structure up to the indications.
func (t *templates) parse(r *bitReader) bool {
	t.offset = int(r.bits(6))
	t.targets = int(r.bits(5)) + 1
	var spatial, temporal uint8
	for {
		if t.count == maxTemplates || r.short {
			return false
		}
		t.list[t.count] = template{spatial: min(spatial, 3), temporal: min(temporal, 7)}
		t.count++
		next := r.bits(2)
		if next == 3 {
			break
		}
		if next == 1 {
			temporal++
		}
		if next == 2 {
			temporal = 0
			spatial++
		}
	}
	for i := range t.count {
		t.list[i].read(r, t.targets)
	}
	t.known = !r.short
	return t.known
}

func (e *template) read(r *bitReader, targets int) {
	seen, needed, switches := false, false, false
	for range min(targets, maxTargets) {
		switch r.bits(2) {
		case dtiDiscardable:
			seen = true
		case dtiSwitch:
			seen, needed, switches = true, true, true
		case dtiRequired:
			seen, needed = true, true
		}
	}
	e.discardable = seen && !needed
	e.sync = switches && e.temporal > 0
}
