// The candidate in Go: main.go CASE PARAMETERS, prints name=value lines.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func parameter(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

// Yields of `tasks` goroutines on one worker; timed by the first of them while all run.
func yields(tasks, each int) {
	runtime.GOMAXPROCS(1)
	counts := make([]uint64, tasks*8)
	var ended sync.WaitGroup
	var ns float64
	for i := 0; i < tasks; i++ {
		i := i
		ended.Add(1)
		go func() {
			defer ended.Done()
			var begun time.Time
			var before uint64
			for k := 0; k < each; k++ {
				counts[i*8]++
				if i == 0 && k == each/10 {
					before = sum(counts)
					begun = time.Now()
				}
				runtime.Gosched()
			}
			if i == 0 {
				ns = float64(time.Since(begun).Nanoseconds()) / float64(sum(counts)-before)
			}
		}()
	}
	ended.Wait()
	fmt.Printf("ns=%f\n", ns)
}

func sum(counts []uint64) (sum uint64) {
	for i := 0; i < len(counts); i += 8 {
		sum += counts[i]
	}
	return
}

// Spawn and join.
func spawn(flat bool, tasks, workers int) {
	runtime.GOMAXPROCS(workers)
	var total uint64
	for warm := 0; warm < 2; warm++ {
		begun := time.Now()
		if flat {
			var ended sync.WaitGroup
			ended.Add(tasks)
			for i := 0; i < tasks; i++ {
				go func() { atomic.AddUint64(&total, 1); ended.Done() }()
			}
			ended.Wait()
		} else {
			for i := 0; i < tasks; i++ {
				done := make(chan struct{})
				go func() { total++; close(done) }()
				<-done
			}
		}
		if warm == 1 {
			fmt.Printf("ns=%f\n", float64(time.Since(begun).Nanoseconds())/float64(tasks))
		}
	}
}

func status(field string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			n, _ := strconv.Atoi(strings.Fields(line)[1])
			return float64(n) * 1024
		}
	}
	return 0
}

// Memory of goroutines that wait.
func parked(tasks int) {
	runtime.GOMAXPROCS(2)
	never := make(chan struct{})
	var begun sync.WaitGroup
	before, tables := status("VmRSS:"), status("VmPTE:")
	begun.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() { begun.Done(); <-never }()
	}
	begun.Wait()
	time.Sleep(20 * time.Millisecond)
	fmt.Printf("resident=%f\n", (status("VmRSS:")-before)/float64(tasks))
	fmt.Printf("tables=%f\n", (status("VmPTE:")-tables)/float64(tasks))
}

var sink uint64

// Wake-ups each millisecond while `hogs` goroutines never yield.
func wakeup(hogs, workers, millis int) {
	runtime.GOMAXPROCS(workers)
	var stop uint32
	for i := 0; i < hogs; i++ {
		go func() {
			x := uint64(1)
			for atomic.LoadUint32(&stop) == 0 {
				for k := 0; k < 1000; k++ {
					x = x*6364136223846793005 + 1
				}
			}
			atomic.AddUint64(&sink, x)
		}()
	}
	var late []int
	begun := time.Now()
	next := begun.Add(5 * time.Millisecond)
	for time.Since(begun) < time.Duration(millis)*time.Millisecond {
		time.Sleep(time.Until(next))
		woken := time.Now()
		late = append(late, int(woken.Sub(next).Nanoseconds()))
		for !next.After(woken) {
			next = next.Add(time.Millisecond)
		}
	}
	atomic.StoreUint32(&stop, 1)
	sort.Ints(late)
	at := func(p float64) int {
		i := int(float64(len(late))*p + 0.999999)
		if i < 1 {
			i = 1
		}
		if i > len(late) {
			i = len(late)
		}
		return late[i-1]
	}
	fmt.Printf("p50=%d\np99=%d\np999=%d\nmax=%d\ncount=%d\n", at(0.5), at(0.99), at(0.999), late[len(late)-1], len(late))
}

// A round trip between two goroutines over two channels that hold nothing.
func channel(trips, workers int) {
	runtime.GOMAXPROCS(workers)
	there, back := make(chan int), make(chan int)
	go func() {
		for n := range there {
			back <- n
		}
	}()
	var begun time.Time
	for i := 0; i < trips; i++ {
		if i == trips/10 {
			begun = time.Now()
		}
		there <- i
		<-back
	}
	fmt.Printf("ns=%f\n", float64(time.Since(begun).Nanoseconds())/float64(trips-trips/10))
}

// The sum of the numbers of a tree's leaves; each node has ten children.
func tree(out chan uint64, first, leaves uint64) {
	if leaves == 1 {
		out <- first
		return
	}
	children := make(chan uint64)
	part := leaves / 10
	for i := uint64(0); i < 10; i++ {
		go tree(children, first+i*part, part)
	}
	sum := uint64(0)
	for i := 0; i < 10; i++ {
		sum += <-children
	}
	out <- sum
}

func skynet(leaves, workers int) {
	runtime.GOMAXPROCS(workers)
	for warm := 0; warm < 2; warm++ {
		begun := time.Now()
		out := make(chan uint64)
		go tree(out, 0, uint64(leaves))
		<-out
		if warm == 1 {
			fmt.Printf("ns=%d\n", time.Since(begun).Nanoseconds())
		}
	}
}

func main() {
	switch os.Args[1] {
	case "skynet":
		skynet(parameter(2), parameter(3))
	case "yield":
		yields(parameter(2), parameter(3))
	case "spawn":
		spawn(os.Args[2] == "flat", parameter(3), parameter(4))
	case "parked":
		parked(parameter(2))
	case "wakeup":
		wakeup(parameter(2), parameter(3), parameter(4))
	case "channel":
		channel(parameter(2), parameter(3))
	}
}
