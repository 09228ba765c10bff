// Package tree is the multicast tree of a room as a pure value: one Router per peer and room decides who is the parent,
// who is the backup and who the children are.
package tree
