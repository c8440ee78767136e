// What bench_http_memory measures, in Go.
//
//	http_memory serve                a server: "/hello" answers, "/wait" waits for the end of its context
//	http_memory call <url> <count>   a client: one call, then <count> at a time, each with a deadline
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func serve() {
	http.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	http.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + l.Addr().String())
	http.Serve(l, nil)
}

func call(client *http.Client, url string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		panic(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

func main() {
	if os.Args[1] == "serve" {
		serve()
		return
	}
	count, _ := strconv.Atoi(os.Args[3])
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 100_000, MaxIdleConnsPerHost: 100_000}}
	call(client, os.Args[2])
	fmt.Println("called")
	for i := 0; i < count; i++ {
		go call(client, os.Args[2])
	}
	time.Sleep(10 * time.Minute)
}
