// Package container reads media files and writes recordings: Ogg Opus (RFC 3533, RFC 7845), WebM and Matroska (RFC 9559), and IVF.
// Other containers it recognizes by their content, and names what is in them.
//
// Everything is a stream: readers never seek (save behind the media of an MP4 file, to name its codecs), so that a pipe or an upload in progress will do, and writers never go back, so
// that whatever has been written is a playable file when the process is killed or the disk fills up. That is why Segments and
// Clusters are written with unknown size, and why there is no index.
//
// Readers treat files as hostile. A length is checked before memory is taken for it, and memory grows only as octets really
// arrive: no file costs more than about two frames of MaxFrame. What is wrong with a file is told as a *FormatError, with the
// place; frames before that place have been delivered.
//
// The EBML reader is our own: libraries that unmarshal by reflection hold whole clusters, and want known sizes.
//
// There are no clocks, goroutines or package state here; values are for one goroutine at a time, save File.
package container
