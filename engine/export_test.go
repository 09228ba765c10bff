package engine

import "github.com/castd/castd/engine/seal"

// WatchSeals has f called with the key, by its salt, and the nonce of each packet that e seals. It is called before e publishes.
func WatchSeals(e *Engine, f func(key, nonce [seal.NonceSize]byte)) { e.sealed = f }
