package relay

// Packets are kept in chains of small blocks of one size, like pages of memory. Packets come in all sizes and leave in
// another order than they came; with blocks there is nothing to fragment, nothing can be pinned by a neighbour, and once
// as many blocks exist as the stream needs there is nothing left to allocate. The waste is half a block per packet.

const (
	noBlock       = ^uint32(0)
	blocksPerSlab = 64
)

// blocks is a bounded pool of blocks that grows a slab at a time.
type blocks struct {
	size  int // octets of a block
	limit int // blocks that may be in use
	used  int

	slabs [][]byte
	next  []uint32 // of each block: the one that follows in its chain or in the list of free ones
	free  uint32
}

func newBlocks(size, limit int) blocks {
	return blocks{size: size, limit: limit, free: noBlock}
}

// need returns how many blocks n octets take.
func (b *blocks) need(n int) int { return (n + b.size - 1) / b.size }

// room reports whether n octets can be put without going over the limit.
func (b *blocks) room(n int) bool { return b.used+b.need(n) <= b.limit }

// octets returns the memory that all the slabs take.
func (b *blocks) octets() int { return len(b.slabs) * blocksPerSlab * b.size }

func (b *blocks) block(i uint32) []byte {
	off := int(i%blocksPerSlab) * b.size
	return b.slabs[i/blocksPerSlab][off : off+b.size]
}

// put copies p into a chain and returns its first block. The caller has asked for room; p is not empty.
func (b *blocks) put(p []byte) uint32 {
	first, last := noBlock, noBlock
	for len(p) > 0 {
		if b.free == noBlock {
			b.grow()
		}
		i := b.free
		b.free = b.next[i]
		b.next[i] = noBlock
		if first == noBlock {
			first = i
		} else {
			b.next[last] = i
		}
		last = i
		p = p[copy(b.block(i), p):]
		b.used++
	}
	return first
}

// get copies the first n octets of the chain to dst, which is long enough.
func (b *blocks) get(first uint32, n int, dst []byte) {
	dst = dst[:n]
	for i := first; len(dst) > 0; i = b.next[i] {
		dst = dst[copy(dst, b.block(i)):]
	}
}

// drop frees the chain.
func (b *blocks) drop(first uint32) {
	for i := first; i != noBlock; {
		next := b.next[i]
		b.next[i] = b.free
		b.free = i
		b.used--
		i = next
	}
}

func (b *blocks) grow() {
	first := uint32(len(b.slabs) * blocksPerSlab)
	b.slabs = append(b.slabs, make([]byte, blocksPerSlab*b.size))
	for i := first; i < first+blocksPerSlab; i++ {
		b.next = append(b.next, i+1)
	}
	b.next[first+blocksPerSlab-1] = b.free
	b.free = first
}
