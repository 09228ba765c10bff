package recording

import (
	"errors"
	"syscall"
)

// diskText says in a sentence's part what is wrong with the disk, and what to do.
func diskText(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room, and the recording goes on by itself"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "the folder of recordings cannot be written: let castd's user write to it, and the recording goes on by itself"
	case errors.Is(err, errBusy):
		return "the disk does not keep up: use a faster one, or record less at a time"
	}
	return "the disk failed (" + err.Error() + "): see whether it is well, and the recording goes on by itself"
}
