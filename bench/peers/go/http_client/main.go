// HTTP/1.1 calls by net/http, a context with a timeout for each.
//
//	http_client <many|one|threads|fan> <url> [seconds]    prints: calls seconds cpu_seconds p50_us p99_us
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func cpuSeconds() float64 {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	of := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return of(used.Utime) + of(used.Stime)
}

func main() {
	what, url := os.Args[1], os.Args[2]
	seconds := 2.0
	if len(os.Args) > 3 {
		seconds, _ = strconv.ParseFloat(os.Args[3], 64)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 100, MaxIdleConnsPerHost: 100}}
	call := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			panic(err)
		}
		response, err := client.Do(request)
		if err != nil {
			panic(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			panic(err)
		}
		response.Body.Close()
	}
	warm := time.Now().Add(300 * time.Millisecond)
	end := warm.Add(time.Duration(seconds * 1e9))
	before := make(chan float64, 1)
	go func() {
		time.Sleep(time.Until(warm))
		before <- cpuSeconds()
	}()
	workers := map[string]int{"many": 64, "one": 1, "threads": 16, "fan": 1}[what]
	took := make([][]int64, workers)
	var all sync.WaitGroup
	for w := 0; w < workers; w++ {
		all.Add(1)
		go func(w int) {
			defer all.Done()
			for {
				begun := time.Now()
				calls := 1
				if what == "fan" {
					calls = 10
					var join sync.WaitGroup
					for i := 0; i < calls; i++ {
						join.Add(1)
						go func() {
							defer join.Done()
							call()
						}()
					}
					join.Wait()
				} else {
					call()
				}
				now := time.Now()
				if !begun.Before(warm) && now.Before(end) {
					for i := 0; i < calls; i++ {
						took[w] = append(took[w], now.Sub(begun).Nanoseconds())
					}
				}
				if !now.Before(end) {
					return
				}
			}
		}(w)
	}
	all.Wait()
	cpu := cpuSeconds() - <-before
	var sorted []int64
	for _, each := range took {
		sorted = append(sorted, each...)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(part float64) float64 { return float64(sorted[int(part*float64(len(sorted)-1))]) / 1e3 }
	fmt.Printf("%d %.3f %.6f %.1f %.1f\n", len(sorted), seconds, cpu, at(0.5), at(0.99))
}
