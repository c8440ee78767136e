// The other side of bench/sync.cpp: the same measurements of Go's channels, select and goroutines.
package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"curfew/bench/peers/answer"
)

const (
	items    = 300000
	rounds   = 100000
	tasks    = 1000000
	sleepers = 100000
	fan      = 10
)

// transfer sends through a channel from one goroutine to another, both under a context, as programs do.
func transfer(capacity int) float64 {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	c := make(chan int, capacity)
	began := time.Now()
	go func() {
		for i := 0; i < items; i++ {
			select {
			case c <- i:
			case <-ctx.Done():
			}
		}
		close(c)
	}()
	for {
		select {
		case _, more := <-c:
			if more {
				continue
			}
		case <-ctx.Done():
		}
		break
	}
	return float64(time.Since(began).Nanoseconds()) / items
}

// plainTransfer is the same without a context: the bare channel.
func plainTransfer(capacity int) float64 {
	c := make(chan int, capacity)
	began := time.Now()
	go func() {
		for i := 0; i < items; i++ {
			c <- i
		}
		close(c)
	}()
	for range c {
	}
	return float64(time.Since(began).Nanoseconds()) / items
}

func transfers(one func(int) float64) []float64 { return []float64{one(0), one(1), one(128)} }

func onOneThread(measure func() []float64) []float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	return measure()
}

func pingPong() []float64 {
	there, back := make(chan int), make(chan int)
	began := time.Now()
	go func() {
		for i := range there {
			back <- i
		}
	}()
	for i := 0; i < rounds; i++ {
		there <- i
		<-back
	}
	close(there)
	return []float64{float64(time.Since(began).Nanoseconds()) / rounds}
}

func selectReady() []float64 {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	a, b := make(chan int, 1), make(chan int, 1)
	return []float64{answer.Each(items, func() {
		a <- 1
		select {
		case <-ctx.Done():
		case <-a:
		case <-b:
		}
	})}
}

func selectWaiting() []float64 {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	a, b, back := make(chan int), make(chan int), make(chan int)
	began := time.Now()
	go func() {
		for i := 0; i < rounds; i++ {
			select {
			case <-ctx.Done():
			case <-a:
			case <-b:
			}
			back <- i
		}
	}()
	for i := 0; i < rounds; i++ {
		if i%2 == 0 {
			a <- i
		} else {
			b <- i
		}
		<-back
	}
	return []float64{float64(time.Since(began).Nanoseconds()) / rounds}
}

// group is what golang.org/x/sync/errgroup does: the first error cancels the rest.
type group struct {
	running sync.WaitGroup
	once    sync.Once
	err     error
	cancel  context.CancelFunc
}

func (g *group) spawn(f func() error) {
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) join() error {
	g.running.Wait()
	g.cancel()
	return g.err
}

func newGroup(parent context.Context) (*group, context.Context) {
	ctx, cancel := context.WithCancel(parent)
	return &group{cancel: cancel}, ctx
}

func succeed() error { return nil }

func spawnAndJoin() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	return []float64{answer.Each(rounds, func() {
		g, _ := newGroup(parent)
		g.spawn(succeed)
		g.join()
	})}
}

func fanOut() []float64 {
	parent, end := context.WithCancel(context.Background())
	defer end()
	all := answer.Each(rounds/4, func() {
		g, _ := newGroup(parent)
		for i := 0; i < fan; i++ {
			g.spawn(succeed)
		}
		g.join()
	})
	failed := errors.New("failed")
	first := answer.Each(rounds/4, func() {
		g, ctx := newGroup(parent)
		g.spawn(func() error { return failed })
		for i := 1; i < fan; i++ {
			g.spawn(func() error { return ctx.Err() })
		}
		g.join()
	})
	return []float64{all / 1000, first / 1000}
}

// peak is the most memory that this process has had since the last reset, in bytes.
func memory(name string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, name+":") {
			kilobytes, _ := strconv.Atoi(strings.Fields(line)[1])
			return float64(kilobytes) * 1024
		}
	}
	return 0
}

func manyTasks() []float64 {
	debug.FreeOSMemory()                                  // what other rounds had does not count as there already
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
	before := memory("VmRSS")
	began := time.Now()
	g, _ := newGroup(context.Background())
	for i := 0; i < tasks; i++ {
		g.spawn(succeed)
	}
	g.join()
	took := time.Since(began)
	return []float64{float64(took.Nanoseconds()) / tasks, (memory("VmHWM") - before) / tasks}
}

func sleepersWake() []float64 {
	ctx, end := context.WithCancel(context.Background())
	var asleep, awake sync.WaitGroup
	asleep.Add(sleepers)
	awake.Add(sleepers)
	for i := 0; i < sleepers; i++ {
		go func() {
			asleep.Done()
			<-ctx.Done()
			awake.Done()
		}()
	}
	asleep.Wait()
	time.Sleep(50 * time.Millisecond) // until the last of them has fallen asleep
	began := time.Now()
	end()
	awake.Wait()
	return []float64{float64(time.Since(began).Microseconds()) / 1000}
}

func main() {
	answer.Serve(map[string]func() []float64{
		"threads":        func() []float64 { return transfers(transfer) },
		"threads_plain":  func() []float64 { return transfers(plainTransfer) },
		"coroutines":     func() []float64 { return onOneThread(func() []float64 { return transfers(transfer) }) },
		"ping_pong":      pingPong,
		"select_ready":   selectReady,
		"select_waiting": selectWaiting,
		"spawn_and_join": spawnAndJoin,
		"fan_out":        fanOut,
		"many_tasks":     manyTasks,
		"sleepers":       sleepersWake,
	})
}
