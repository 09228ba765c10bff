package store

import "fmt"

// checkList returns the entries of a file that keeps a list, or why it is not to be believed. A file of twice as many entries as
// are kept is still taken: an earlier version may have kept more.
func checkList[T any](version int, list []T, most int, what string, check func(*T) error) ([]T, error) {
	if version != 1 {
		return nil, fmt.Errorf("version %d is not known", version)
	}
	if len(list) > 2*most {
		return nil, fmt.Errorf("%d %s", len(list), what)
	}
	for i := range list {
		if err := check(&list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}
