package protocol

import (
	"slices"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Codec lets encoded messages through as they are, where they are of type *Frame, and treats all others as gRPC does. It is for
// grpc.ForceCodecV2 and grpc.ForceServerCodecV2.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name implements encoding.CodecV2.
func (Codec) Name() string { return proto.Name }

// Marshal implements encoding.CodecV2.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Frame); ok {
		return mem.BufferSlice{f.buffer()}, nil
	}
	return encoding.GetCodecV2(proto.Name).Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*Frame); ok {
		n := data.Len()
		f.Bytes = slices.Grow(f.Bytes[:0], n)[:n]
		data.CopyTo(f.Bytes)
		return nil
	}
	return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
}

// Frame is an encoded message. Receiving into one uses its Bytes again.
type Frame struct {
	Bytes []byte
	// Pool gets Bytes when they have been sent; nil leaves them to the garbage collector. Whoever sends a Frame with a Pool must not
	// touch Bytes any more.
	Pool mem.BufferPool
}

func (f *Frame) buffer() mem.Buffer {
	if f.Pool == nil {
		return mem.SliceBuffer(f.Bytes)
	}
	b := f.Bytes
	return mem.NewBuffer(&b, f.Pool)
}
