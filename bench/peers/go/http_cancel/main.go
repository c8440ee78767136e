// From the cancel of a call to the end of the context of its handler, in Go.
//
//	http_cancel <rounds> <others under way>
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"time"
)

func main() {
	rounds, _ := strconv.Atoi(os.Args[1])
	others, _ := strconv.Atoi(os.Args[2])
	begun := make(chan struct{}, others+1)
	ended := make(chan time.Time, 1)
	http.HandleFunc("/measured", func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- time.Now()
	})
	http.HandleFunc("/other", func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, nil)
	url := "http://" + l.Addr().String()
	call := func(ctx context.Context, url string) {
		request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			panic(err)
		}
		_, _ = http.DefaultClient.Do(request)
	}
	for i := 0; i < others; i++ {
		go call(context.Background(), url+"/other")
		<-begun
	}
	var took []float64
	for i := 0; i < rounds; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		go call(ctx, url+"/measured")
		<-begun
		time.Sleep(50 * time.Microsecond) // all is quiet, as where the time begins in the other program
		now := time.Now()
		cancel()
		end := <-ended
		if i >= rounds/10 {
			took = append(took, float64(end.Sub(now).Nanoseconds())/1e3)
		}
	}
	sort.Float64s(took)
	at := func(part float64) float64 { return took[int(part*float64(len(took)-1))] }
	fmt.Printf("%-12s p50 %.0f us, p99 %.0f us, worst %.0f us\n", "Go net/http", at(0.5), at(0.99), took[len(took)-1])
}
