// Package treesim simulates rooms.
package treesim
