// Redis by redigo: a pool, and a timeout for each call.
//
//	redis <one|pipeline|many|many_pipelined> <host:port> <seconds>    prints: count seconds cpu_seconds p50_us p99_us
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	keys     = 10000
	batch    = 64
	workers  = 64
	patience = 30 * time.Second
)

var keyOf [keys]string

func cpuSeconds() float64 {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	of := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return of(used.Utime) + of(used.Stime)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(got string, i int) {
	if len(got) != 32 || got[:len(keyOf[i])] != keyOf[i] {
		panic("another value came: " + got)
	}
}

func pipeline(c redis.Conn, first int) {
	for i := 0; i < batch; i++ {
		check(c.Send("GET", keyOf[(first+i)%keys]))
	}
	check(c.Flush())
	for i := 0; i < batch; i++ {
		got, err := redis.String(redis.ReceiveWithTimeout(c, patience))
		check(err)
		expect(got, (first+i)%keys)
	}
}

// What redigo allows for a connection: one goroutine that sends and one that receives, for all the others.
type shared struct {
	calls chan call
	sent  chan chan string
}

type call struct {
	key    string
	answer chan string
}

func share(c redis.Conn) *shared {
	s := &shared{make(chan call, workers), make(chan chan string, workers)}
	go func() {
		for next := range s.calls {
			check(c.Send("GET", next.key))
			s.sent <- next.answer
			if len(s.calls) == 0 {
				runtime.Gosched() // lets the others add theirs: one write for all
			}
			if len(s.calls) == 0 {
				check(c.Flush())
			}
		}
	}()
	go func() {
		for answer := range s.sent {
			got, err := redis.String(c.Receive())
			check(err)
			answer <- got
		}
	}()
	return s
}

func main() {
	what, address := os.Args[1], os.Args[2]
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	check(err)
	for i := range keyOf {
		keyOf[i] = "key:" + strconv.Itoa(i)
	}
	connections, goroutines, each := 1, 1, 1
	switch what {
	case "pipeline":
		each = batch
	case "many", "many_pipelined":
		connections, goroutines = 4, workers
	}
	pool := &redis.Pool{
		MaxIdle: connections, MaxActive: connections, Wait: true,
		Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", address, redis.DialReadTimeout(patience), redis.DialWriteTimeout(patience))
		},
	}
	var links []*shared
	if what == "many_pipelined" {
		for i := 0; i < connections; i++ {
			links = append(links, share(pool.Get()))
		}
	}
	warm := time.Now().Add(300 * time.Millisecond)
	end := warm.Add(time.Duration(seconds * 1e9))
	took := make([][]int64, goroutines)
	var join sync.WaitGroup
	work := func(w int) {
		defer join.Done()
		answer := make(chan string, 1)
		for i := w * 1000; ; i += each {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if what == "many_pipelined" {
				links[w%connections].calls <- call{keyOf[i%keys], answer}
				select {
				case got := <-answer:
					expect(got, i%keys)
				case <-ctx.Done():
					panic(ctx.Err())
				}
			} else {
				c, err := pool.GetContext(ctx)
				check(err)
				if what == "pipeline" {
					pipeline(c, i)
				} else {
					got, err := redis.String(c.Do("GET", keyOf[i%keys]))
					check(err)
					expect(got, i%keys)
				}
				check(c.Close())
			}
			cancel()
			now := time.Now()
			if begun.Before(warm) {
				continue
			}
			if !now.Before(end) {
				return
			}
			took[w] = append(took[w], now.Sub(begun).Nanoseconds())
		}
	}
	before := make(chan float64, 1)
	go func() {
		time.Sleep(time.Until(warm))
		before <- cpuSeconds()
	}()
	for w := 0; w < goroutines; w++ {
		join.Add(1)
		go work(w)
	}
	join.Wait()
	cpu := cpuSeconds() - <-before
	var sorted []int64
	for _, each := range took {
		sorted = append(sorted, each...)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(part float64) float64 { return float64(sorted[int(part*float64(len(sorted)-1))]) / 1e3 }
	fmt.Printf("%d %.6f %.6f %.1f %.1f\n", len(sorted)*each, seconds, cpu, at(0.5), at(0.99))
}
