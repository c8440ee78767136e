package main

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"time"
)

// What happens in time: how late deadlines come, how soon a waiter is awake.
//
// Who notes the end of a context is a goroutine that waits for it, as in programs; there is one for each. A bare
// time.AfterFunc that notes its own lateness is just as late: it is the timers that take their time.

const (
	crowdSize      = 100000
	headStart      = time.Second // all are made by then, before the first is due
	spread         = 2 * time.Second
	betweenCancels = 10 * time.Microsecond
	wakes          = 2000
	untilBlocked   = 200 * time.Microsecond
)

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func percentile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sort.Float64s(values)
	return values[int(part*float64(len(values)-1))]
}

// noteLateness notes in *late how long after due the end of ctx was seen.
func noteLateness(ctx context.Context, due time.Time, late *float64, noted *sync.WaitGroup) {
	noted.Add(1)
	go func() {
		<-ctx.Done()
		*late = microseconds(time.Since(due))
		noted.Done()
	}()
}

func lateness() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	first := time.Now().Add(headStart)
	late := make([]float64, crowdSize)
	var all sync.WaitGroup
	for i := range late {
		due := first.Add(time.Duration(i) * spread / crowdSize)
		ctx, cancel := context.WithDeadline(parent, due)
		defer cancel()
		noteLateness(ctx, due, &late[i], &all)
	}
	all.Wait()
	return []float64{percentile(late, 0.5), percentile(late, 0.99)}
}

func burst() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	due := time.Now().Add(headStart)
	crowd := make([]context.Context, crowdSize)
	for i := range crowd {
		ctx, cancel := context.WithDeadline(parent, due)
		defer cancel()
		crowd[i] = ctx
	}
	var lateThen, lateAfter float64
	var both sync.WaitGroup
	then, cancelThen := context.WithDeadline(context.Background(), due)
	defer cancelThen()
	after, cancelAfter := context.WithDeadline(context.Background(), due.Add(time.Millisecond))
	defer cancelAfter()
	noteLateness(then, due, &lateThen, &both)
	noteLateness(after, due.Add(time.Millisecond), &lateAfter, &both)

	time.Sleep(time.Until(due.Add(-time.Millisecond)))
	var cancels []float64
	for next := 0; next != crowdSize; {
		_, cancel := context.WithTimeout(context.Background(), time.Hour)
		began := time.Now()
		cancel()
		cancels = append(cancels, microseconds(time.Since(began)))
		// Without Gosched, and with a sleep in its place, the crowd takes longer.
		for time.Since(began) < betweenCancels {
			runtime.Gosched()
		}
		for next != crowdSize && crowd[next].Err() != nil {
			next++
		}
	}
	allEnded := microseconds(time.Since(due))
	both.Wait()
	return []float64{lateThen, lateAfter, allEnded, percentile(cancels, 0.99), percentile(cancels, 1)}
}

func wake() []float64 {
	contexts := make([]scope, wakes)
	for i := range contexts {
		contexts[i].ctx, contexts[i].cancel = context.WithCancel(context.Background())
	}
	began := make([]time.Time, wakes)
	took := make([]float64, wakes)
	ready := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		for i := range contexts {
			ready <- struct{}{}
			<-contexts[i].ctx.Done()
			took[i] = microseconds(time.Since(began[i]))
		}
		close(finished)
	}()
	for i := range contexts {
		<-ready
		time.Sleep(untilBlocked)
		began[i] = time.Now()
		contexts[i].cancel()
	}
	<-finished
	return []float64{percentile(took, 0.5), percentile(took, 0.99)}
}
