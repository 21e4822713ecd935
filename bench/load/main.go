// load: what the benchmark sends through a tunnel, and the targets that receive it, in one process.
//
//	load bulk  -streams 8 -direction down|up -seconds 3    bytes a second
//	load rate  -workers 32 -seconds 3                      connect, echo of 100 bytes, close; and again
//	load ping  -seconds 3 [-beside 4] [-pause 2ms]         round trips of 64 bytes, beside so many bulk streams
//	load hold  -streams 1000                               memory of so many open, silent streams beside as many
//	load keep  -streams 1000                               so many open, silent streams, until the process is ended
//	load line  -to ADDRESS -rtt 100ms -mbit 1000           a long line: a TCP relay with delay and rate
//
// All but "line" take -via socks5:ADDRESS or -via direct:ADDRESS ("direct:" alone dials the target itself), -target
// ADDRESS where the target is to listen (a free port otherwise), -pids P,P,... whose CPU time and memory are read at
// the borders of the measured time, and write one JSON object. It dials and listens on loopback only, and ends by
// itself after -limit whatever happens.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// options of all roles; each uses what it needs.
type options struct {
	via       way
	target    string
	pids      processes
	seconds   float64
	warm      time.Duration
	streams   int
	workers   int
	count     int
	beside    int
	pause     time.Duration
	direction string
	sample    time.Duration
	to        string
	rtt       time.Duration
	mbit      float64
}

func (o *options) span() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

// result is what a role measured, by name; units stand in the names.
type result map[string]any

var roles = map[string]func(*options) (result, error){
	"bulk": runBulk, "rate": runRate, "ping": runPing, "hold": runHold, "keep": runKeep, "line": runLine,
}

func fail(code int, format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "load: "+format+"\n", arguments...)
	os.Exit(code)
}

func main() {
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fail(2, "the first argument is one of bulk, rate, ping, hold, keep, line")
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.Var(&o.via, "via", "socks5:ADDRESS or direct:[ADDRESS]")
	flags.StringVar(&o.target, "target", "127.0.0.1:0", "where the target listens")
	flags.Var(&o.pids, "pids", "processes whose CPU time and memory are read")
	flags.Float64Var(&o.seconds, "seconds", 3, "measured time")
	flags.DurationVar(&o.warm, "warm", 500*time.Millisecond, "time before it that does not count")
	flags.IntVar(&o.streams, "streams", 1, "streams of bulk, hold and keep")
	flags.IntVar(&o.workers, "workers", 32, "connections at once of rate")
	flags.IntVar(&o.count, "count", 0, "rate: end after so many connects instead of after -seconds")
	flags.IntVar(&o.beside, "beside", 0, "ping: bulk streams beside it")
	flags.DurationVar(&o.pause, "pause", 0, "ping: between a reply and the next request")
	flags.StringVar(&o.direction, "direction", "down", "down (target to client) or up")
	flags.DurationVar(&o.sample, "sample", 0, "bulk: note the sum of bytes this often, from the first byte on")
	flags.StringVar(&o.to, "to", "", "line: where it leads")
	flags.DurationVar(&o.rtt, "rtt", 100*time.Millisecond, "line: round trip")
	flags.Float64Var(&o.mbit, "mbit", 1000, "line: Mbit/s of each direction, 0 for no limit")
	limit := flags.Duration("limit", 120*time.Second, "the program ends after this in any case")
	flags.Parse(os.Args[2:])

	// More than the cores of a small machine: Go looks for arrived bytes late while all of its processors are busy, which
	// would show as slow pings; the kernel shares the cores out better.
	runtime.GOMAXPROCS(4)
	time.AfterFunc(*limit, func() { fail(3, "not done after %v", *limit) })
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	go func() { <-ends; os.Exit(0) }()

	measured, err := roles[os.Args[1]](&o)
	if err != nil {
		fail(1, "%v", err)
	}
	json.NewEncoder(os.Stdout).Encode(measured)
}
