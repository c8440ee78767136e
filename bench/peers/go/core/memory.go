package main

import (
	"context"
	"runtime"
	"time"
)

// What a context takes from the heap: how often, and how much, the rounding of size classes included.
// Not counted: the stacks of goroutines, which afterFunc needs before Go 1.21, and the parent's map of its children, which
// is there already for one at a time.

// count returns what each of many calls of act allocates.
func count(act func()) []float64 {
	const times = 1000
	act() // what the first one starts is not for the others to account for
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; i < times; i++ {
		act()
	}
	runtime.ReadMemStats(&after)
	return []float64{
		float64(after.Mallocs-before.Mallocs) / times,
		float64(after.TotalAlloc-before.TotalAlloc) / times,
	}
}

// detached is context.WithoutCancel, which came with Go 1.21.
type detached struct{ context.Context }

func (detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (detached) Done() <-chan struct{}       { return nil }
func (detached) Err() error                  { return nil }

// merge ends with a or b, as programs write it.
func merge(a, b context.Context) context.CancelFunc {
	_, cancel := context.WithCancel(a)
	stop := afterFunc(b, cancel)
	return func() {
		stop()
		cancel()
	}
}

var lastMade context.Context

func memory() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	other, endOther := context.WithCancel(context.Background())
	defer endOther()
	var user, somebody any = key(1), "somebody" // boxed before
	var all []float64
	for _, act := range []func(){
		func() {
			_, cancel := context.WithCancel(parent)
			cancel()
		},
		func() {
			_, cancel := context.WithTimeout(parent, time.Hour)
			cancel()
		},
		func() { lastMade = context.WithValue(parent, user, somebody) },
		func() { lastMade = detached{parent} },
		func() { merge(parent, other)() },
		func() { afterFunc(parent, func() { sink++ })() },
	} {
		all = append(all, count(act)...)
	}
	return all
}
