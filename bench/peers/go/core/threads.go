package main

import (
	"context"
	"sync"

	"curfew/bench/peers/answer"
)

// Two goroutines that derive and end children: of one parent, and each of its own.

// eachOf returns the nanoseconds of one child, in each of n goroutines that do the same at the same time.
func eachOf(n int, parentOf func() context.Context) float64 {
	const children = 200000
	results := make([]float64, n)
	var ready, begin, done sync.WaitGroup
	ready.Add(n)
	begin.Add(1)
	done.Add(n)
	for i := range results {
		i := i
		go func() {
			parent := parentOf()
			ready.Done()
			begin.Wait()
			results[i] = answer.Each(children, func() {
				_, cancel := context.WithCancel(parent)
				cancel()
			})
			done.Done()
		}()
	}
	ready.Wait()
	begin.Done()
	done.Wait()
	slowest := 0.0
	for _, result := range results {
		if result > slowest {
			slowest = result
		}
	}
	return slowest
}

func threads() []float64 {
	one, end := context.WithCancel(context.Background())
	defer end()
	shared := func() context.Context { return one }
	var ends []context.CancelFunc
	var lock sync.Mutex
	own := func() context.Context {
		parent, end := context.WithCancel(context.Background())
		lock.Lock()
		defer lock.Unlock()
		ends = append(ends, end)
		return parent
	}
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	alone := eachOf(1, shared)
	withShared := eachOf(2, shared)
	aloneWithOwn := eachOf(1, own)
	withOwn := eachOf(2, own)
	return []float64{alone, withShared, 2 * alone / withShared, withOwn, 2 * aloneWithOwn / withOwn}
}
