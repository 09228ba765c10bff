// Package store is castd's data folder: keys, the administrator's token, counters that never go back, rooms and peers that
// were met, and the lock that lets one process at a time have all of it.
//
// Files, all of mode 0600 in a folder of mode 0700:
//
//	castd.lock        process id of who runs on this folder; locked as long as he does
//	user.key          the user's Ed25519 key, as text
//	device.key        this peer's Ed25519 key, as text
//	device.cert       the user's signature of the device key (wire.DeviceCertificate); made again where it does not fit
//	token             the administrator's bearer token
//	counters.json     up to where numbers have been reserved
//	rooms.json        own rooms and rooms met before, with the media keys of private ones
//	invites.json      invites and guests' links that this peer made, without their secrets, and who used them
//	peers.json        the peers seen last
//	tls.pem           the gateway's own certificate and its key
//	castd.sock.path   where the control socket is, if its usual path would be too long
//
// Invariants. Each file is replaced at once (temporary file, fsync, rename, fsync of the folder): after a crash it is the old
// one or the new one. A number that Reserve or Sequence gave is never given again, whatever happens to the process. A full or
// slow disk stops nothing that runs: numbers are reserved ahead, and an error comes only once the reserve is used up.
//
// All methods are safe for concurrent use. A Store has one goroutine, which renews the reserves; Close waits for it.
package store
