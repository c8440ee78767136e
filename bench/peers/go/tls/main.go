// What bench_tls measures, in Go.
//
//	tls serve <chain> <key> <MiB>            a server: "/hello", "/down" of so much, "/up", "/held", "/wait", "/begun", "/ended"
//	tls many <url> <root> <seconds>          64 calls at a time, each with a deadline: prints what a side prints
//	tls down <url> <root>                    reads a download to its end, prints the seconds
//	tls up <url> <root> <MiB>                sends a body, prints the seconds
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const mebibyte = 1 << 20

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	made, err := strconv.Atoi(text)
	check(err)
	return made
}

func serve(chain, key string, size int) {
	var begun, ended int64
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if ctx.Err() != nil {
			http.Error(w, "too late", http.StatusGatewayTimeout)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, World!\n")
	})
	http.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) {
		piece := bytes.Repeat([]byte("d"), mebibyte/4)
		for i := 0; i < 4*size; i++ {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	http.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		check(err)
	})
	http.HandleFunc("/held", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	http.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		atomic.StoreInt64(&ended, 0)
		atomic.StoreInt64(&begun, 1)
		<-r.Context().Done()
		atomic.StoreInt64(&begun, 0)
		atomic.StoreInt64(&ended, time.Now().UnixNano())
	})
	http.HandleFunc("/begun", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, atomic.LoadInt64(&begun))
	})
	http.HandleFunc("/ended", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, atomic.LoadInt64(&ended))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("https://" + l.Addr().String())
	server := &http.Server{IdleTimeout: 10 * time.Minute, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	check(server.ServeTLS(l, chain, key))
}

func client(root string) *http.Client {
	pem, err := os.ReadFile(root)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: 100,
		DisableCompression:  true,
	}}
}

func cpu() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
}

func many(url, root string, seconds float64) {
	c := client(root)
	warm := time.Now().Add(300 * time.Millisecond)
	end := warm.Add(time.Duration(seconds * 1e9))
	var before float64
	time.AfterFunc(time.Until(warm), func() { before = cpu() })
	took := make([][]float64, 64)
	var all sync.WaitGroup
	for i := range took {
		all.Add(1)
		go func(mine *[]float64) {
			defer all.Done()
			for {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
				check(err)
				answer, err := c.Do(request)
				check(err)
				_, err = io.ReadAll(answer.Body)
				check(err)
				answer.Body.Close()
				cancel()
				now := time.Now()
				if now.After(end) {
					return
				}
				if begun.After(warm) {
					*mine = append(*mine, float64(now.Sub(begun))/1e3)
				}
			}
		}(&took[i])
	}
	all.Wait()
	used := cpu() - before
	var flat []float64
	for _, each := range took {
		flat = append(flat, each...)
	}
	sort.Float64s(flat)
	at := func(part float64) float64 { return flat[int(part*float64(len(flat)-1))] }
	fmt.Printf("%d %.6f %.6f %.1f %.1f\n", len(flat), seconds, used, at(0.5), at(0.99))
}

func timed(c *http.Client, method, url string, body io.Reader, size int64) {
	begun := time.Now()
	request, err := http.NewRequest(method, url, body)
	check(err)
	request.ContentLength = size
	answer, err := c.Do(request)
	check(err)
	_, err = io.Copy(io.Discard, answer.Body)
	check(err)
	fmt.Println(time.Since(begun).Seconds())
}

func main() {
	args := os.Args[1:]
	switch args[0] {
	case "serve":
		serve(args[1], args[2], number(args[3]))
	case "many":
		seconds, err := strconv.ParseFloat(args[3], 64)
		check(err)
		many(args[1], args[2], seconds)
	case "down":
		timed(client(args[2]), "GET", args[1], nil, 0)
	case "up":
		body := bytes.Repeat([]byte("u"), number(args[3])*mebibyte)
		timed(client(args[2]), "PUT", args[1], bytes.NewReader(body), int64(len(body)))
	}
}
