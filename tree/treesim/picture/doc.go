// Package picture draws what a simulation of the tree found, as SVG (W3C SVG 1.1): the tree itself, distributions over peers, and
// how media came back after a fault.
//
// A Sheet is one file: a title, how it was made, and pictures below each other. What is drawn is plain data that the caller fills in;
// nothing here knows the simulator. A sheet needs no script, no font and no other file. Its colours follow the reader's
// choice of light or dark.
//
// # Properties
//
// The package has no clock, goroutines or I/O; the same data gives the same octets. Text from outside is escaped. The size is
// bounded by what can be told apart: a tree of 10,000 peers takes less than 1 MB, and curves are thinned to 400 points.
package picture
