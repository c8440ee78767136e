// The other side of bench/core.cpp: the same measurements of Go's context package.
package main

import (
	"context"
	"runtime"
	"sync"
	"time"

	"curfew/bench/peers/answer"
)

const (
	depth   = 32
	million = 1000000
)

func bytesInUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func withCancel() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	return []float64{answer.Each(200000, func() {
		_, cancel := context.WithCancel(parent)
		cancel()
	})}
}

func leaveScope() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	return []float64{answer.Each(200000, func() {
		_, cancel := context.WithCancel(parent)
		defer cancel()
	})}
}

func withTimeout() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	return []float64{answer.Each(200000, func() {
		_, cancel := context.WithTimeout(parent, time.Hour)
		cancel()
	})}
}

var sink int

// The loops over Err and Value stand here by themselves, so that no closure is called in them.

func errEach(ctx context.Context) float64 {
	const n = 2000000
	ended := 0
	began := time.Now()
	for i := 0; i < n; i++ {
		if ctx.Err() != nil {
			ended++
		}
	}
	took := time.Since(began)
	sink += ended
	return float64(took.Nanoseconds()) / n
}

type key int

func valueEach(ctx context.Context, k key) float64 {
	const n = 200000
	var boxed any = k // as a key that is a package's variable: not boxed for each call
	found := 0
	began := time.Now()
	for i := 0; i < n; i++ {
		if ctx.Value(boxed) != nil {
			found++
		}
	}
	took := time.Since(began)
	sink += found
	return float64(took.Nanoseconds()) / n
}

func err(ended bool) []float64 {
	first, end := context.WithCancel(context.Background())
	defer end()
	last := first
	for i := 1; i < depth; i++ {
		next, cancel := context.WithCancel(last)
		defer cancel()
		last = next
	}
	valued := first
	for i := 0; i < depth; i++ {
		valued = context.WithValue(valued, key(i), i)
	}
	if ended {
		end()
	}
	return []float64{errEach(first), errEach(last), errEach(valued)}
}

func value() []float64 {
	plain := context.Background()
	mixed := context.Background()
	for i := 0; i < depth; i++ {
		plain = context.WithValue(plain, key(i), i)
		between, cancel := context.WithCancel(mixed)
		defer cancel()
		mixed = context.WithValue(between, key(i), i)
	}
	return []float64{valueEach(plain, 0), valueEach(mixed, 0), valueEach(plain, depth)}
}

type scope struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func millionChildren() []float64 {
	parent, end := context.WithCancel(context.Background())
	children := make([]scope, 0, million)
	before := bytesInUse()
	create := answer.Each(million, func() {
		ctx, cancel := context.WithCancel(parent)
		children = append(children, scope{ctx, cancel})
	})
	bytes := (bytesInUse() - before) / million
	cancel := answer.Each(1, end) / million
	runtime.KeepAlive(children)
	return []float64{create, cancel, bytes}
}

func millionTimeouts() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	pending := make([]scope, 0, million)
	before := bytesInUse()
	i := 0
	create := answer.Each(million, func() {
		i++
		ctx, cancel := context.WithTimeout(parent, time.Hour+time.Duration(i*7919%1000000)*time.Microsecond)
		pending = append(pending, scope{ctx, cancel})
	})
	bytes := (bytesInUse() - before) / million
	next := 0
	cancel := answer.Each(million, func() {
		pending[next].cancel()
		next++
	})
	runtime.KeepAlive(pending)
	return []float64{create, cancel, bytes}
}

func onDone() []float64 {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	return []float64{answer.Each(200000, func() { afterFunc(ctx, func() { sink++ })() })}
}

// settle lets goroutines that were started begin to wait.
func settle() { time.Sleep(50 * time.Millisecond) }

// endWithCallback ends many contexts that were prepared before, and waits until their functions have run.
func endWithCallback() []float64 {
	const n = 20000
	var runs sync.WaitGroup
	runs.Add(n)
	ends := make([]context.CancelFunc, 0, n)
	for i := 0; i < n; i++ {
		ctx, end := context.WithCancel(context.Background())
		afterFunc(ctx, runs.Done)
		ends = append(ends, end)
	}
	settle()
	return []float64{answer.Each(1, func() {
		for _, end := range ends {
			end()
		}
		runs.Wait()
	}) / n}
}

func main() {
	measurements := map[string]func() []float64{
		"leave_scope":       leaveScope,
		"end_with_callback": endWithCallback,
		"with_cancel":       withCancel,
		"with_timeout":      withTimeout,
		"err_live":          func() []float64 { return err(false) },
		"err_ended":         func() []float64 { return err(true) },
		"value":             value,
		"million_children":  millionChildren,
		"million_timeouts":  millionTimeouts,
		"memory":            memory,
		"on_done":           onDone,
		"threads":           threads,
		"lateness":          lateness,
		"burst":             burst,
		"wake":              wake,
	}
	answer.Serve(measurements)
}
