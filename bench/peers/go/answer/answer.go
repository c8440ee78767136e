// Package answer is what the peers of bench/side_by_side.hpp share: they read the name of a measurement, a line
// each, and answer with a line of numbers.
package answer

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Each returns the nanoseconds of each of n runs of act.
func Each(n int, act func()) float64 {
	began := time.Now()
	for i := 0; i < n; i++ {
		act()
	}
	return float64(time.Since(began).Nanoseconds()) / float64(n)
}

// Serve answers until the input ends.
func Serve(measurements map[string]func() []float64) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		name := lines.Text()
		if name == "version" {
			fmt.Println(strings.Replace(runtime.Version(), "go", "Go ", 1))
			continue
		}
		measure, known := measurements[name]
		if !known {
			fmt.Fprintln(os.Stderr, "unknown measurement", name)
			os.Exit(1)
		}
		runtime.GC() // what earlier ones left is not for this one to clear away
		fmt.Println(strings.Trim(fmt.Sprint(measure()), "[]"))
	}
}
