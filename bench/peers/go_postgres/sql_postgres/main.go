// PostgreSQL by database/sql and lib/pq: prepared statements, a context with a timeout for each.
//
//	sql_postgres <one|many|rows> <url> <seconds>    prints: count seconds cpu_seconds p50_us p99_us
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	_ "github.com/lib/pq"
)

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

func prepare(db *sql.DB, text string) *sql.Stmt {
	made, err := db.Prepare(text)
	check(err)
	return made
}

func readAll(ctx context.Context, from *sql.Stmt) int {
	type row struct {
		a, b int64
		c    float64
		d, e string
	}
	var kept []row
	found, err := from.QueryContext(ctx)
	check(err)
	for found.Next() {
		var r row
		check(found.Scan(&r.a, &r.b, &r.c, &r.d, &r.e))
		kept = append(kept, r)
	}
	check(found.Err())
	found.Close()
	return len(kept)
}

func main() {
	what, url := os.Args[1], os.Args[2]
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	check(err)
	db, err := sql.Open("postgres", url+"?sslmode=disable")
	check(err)
	connections, workers := 1, 1
	if what == "many" {
		connections, workers = 8, 64
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	one := prepare(db, "select 1")
	point := prepare(db, "select name from users where id = $1")
	all := prepare(db, "select a, b, c, d, e from t")
	call := func(i int) int {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		switch what {
		case "rows":
			return readAll(ctx, all)
		case "many":
			var name string
			check(point.QueryRowContext(ctx, i%10000+1).Scan(&name))
		default:
			var number int
			check(one.QueryRowContext(ctx).Scan(&number))
		}
		return 1
	}
	warm := time.Now().Add(300 * time.Millisecond)
	end := warm.Add(time.Duration(seconds * 1e9))
	counts := make([]int, workers)
	took := make([][]int64, workers)
	var join sync.WaitGroup
	work := func(w int) {
		defer join.Done()
		for i := w * 1000; ; i++ {
			begun := time.Now()
			count := call(i)
			now := time.Now()
			if begun.Before(warm) {
				continue
			}
			if !now.Before(end) {
				return
			}
			counts[w] += count
			took[w] = append(took[w], now.Sub(begun).Nanoseconds())
		}
	}
	var before, spent float64
	if what == "rows" { // a few whole ones
		call(0)
		before = cpuSeconds()
		for i := 0; i < 3; i++ {
			begun := time.Now()
			counts[0] += call(i)
			took[0] = append(took[0], time.Since(begun).Nanoseconds())
			spent += time.Since(begun).Seconds()
		}
	} else {
		measured := make(chan float64, 1)
		go func() {
			time.Sleep(time.Until(warm))
			measured <- cpuSeconds()
		}()
		for w := 0; w < workers; w++ {
			join.Add(1)
			go work(w)
		}
		join.Wait()
		before, spent = <-measured, seconds
	}
	cpu := cpuSeconds() - before
	count := 0
	var sorted []int64
	for w := range took {
		count += counts[w]
		sorted = append(sorted, took[w]...)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(part float64) float64 { return float64(sorted[int(part*float64(len(sorted)-1))]) / 1e3 }
	fmt.Printf("%d %.6f %.6f %.1f %.1f\n", count, spent, cpu, at(0.5), at(0.99))
}
