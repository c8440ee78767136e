// The tests' peer in Go.
//
//	go_peer call <keep|upload|print|cancel> <url>   calls a server
//	go_peer serve                                   serves; says its port, then what happens in "/wait"
//
// It trusts what SSL_CERT_FILE says, and serves https where TLS_CHAIN and TLS_KEY name files.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func check(holds bool, what ...any) {
	if !holds {
		fmt.Println(append([]any{"does not hold:"}, what...)...)
		os.Exit(1)
	}
}

func body() []byte {
	var made bytes.Buffer
	for i := 0; i < 40_000; i++ {
		fmt.Fprintln(&made, i)
	}
	return made.Bytes()
}

// Hides the length, so that the body is sent in chunks.
type unsized struct{ io.Reader }

func ask(ctx context.Context, method, url string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

func call(what, url string) {
	ctx := context.Background()
	switch what {
	case "keep":
		first, err := ask(ctx, "GET", url, nil)
		check(err == nil, err)
		for i := 0; i < 3; i++ {
			next, err := ask(ctx, "GET", url, nil)
			check(err == nil && bytes.Equal(next, first), "the connection is the same", err)
		}
	case "upload":
		echoed, err := ask(ctx, "POST", url, bytes.NewReader(body()))
		check(err == nil && bytes.Equal(echoed, body()), "the body with a length comes back", err)
		echoed, err = ask(ctx, "POST", url, unsized{bytes.NewReader(body())})
		check(err == nil && bytes.Equal(echoed, body()), "the body in chunks comes back", err)
	case "print":
		text, err := ask(ctx, "GET", url, nil)
		check(err == nil, err)
		os.Stdout.Write(text)
		return
	case "cancel":
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
			cancel()
		}()
		_, err := ask(ctx, "GET", url, nil)
		check(errors.Is(err, context.Canceled), err)
	}
	fmt.Println("ok")
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err == nil, err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	wait := func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("waiting")
		<-r.Context().Done()
		fmt.Println("gone")
	}
	http.HandleFunc("/remote", func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, port)
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		all, err := io.ReadAll(r.Body)
		check(err == nil, err)
		_, _ = w.Write(all)
	})
	http.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < 100; i++ {
			fmt.Fprintf(w, "piece %d\n", i)
			w.(http.Flusher).Flush()
		}
	})
	http.HandleFunc("/wait", wait)
	http.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "first piece\n")
		w.(http.Flusher).Flush()
		wait(w, r)
	})
	if chain := os.Getenv("TLS_CHAIN"); chain != "" {
		check(false, http.ServeTLS(listener, nil, chain, os.Getenv("TLS_KEY")))
	}
	check(false, http.Serve(listener, nil))
}

func main() {
	if os.Args[1] == "serve" {
		serve()
		return
	}
	call(os.Args[2], os.Args[3])
}
