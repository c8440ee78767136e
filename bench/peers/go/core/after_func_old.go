//go:build !go1.21

package main

import "context"

// afterFunc does what programs did before Go had context.AfterFunc: a goroutine waits for either.
func afterFunc(ctx context.Context, f func()) func() bool {
	stop := make(chan struct{})
	stopped := make(chan bool, 1)
	go func() {
		select {
		case <-ctx.Done():
			f()
			stopped <- false
		case <-stop:
			stopped <- true
		}
	}()
	return func() bool {
		close(stop)
		return <-stopped
	}
}
