package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat; Linux shows 100 on all its common machines.
const ticksPerSecond = 100

// processes are those of the measured tunnel.
type processes []int

func (p *processes) String() string { return fmt.Sprint([]int(*p)) }

func (p *processes) Set(text string) error {
	for _, word := range strings.Split(text, ",") {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		*p = append(*p, pid)
	}
	return nil
}

// cpuSeconds is user and system time of all of them so far. One that ended is missing: its time is lost.
func (p processes) cpuSeconds() (sum float64) {
	for _, pid := range p {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name in brackets may hold anything; after it, field 3 of proc(5) is the first.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		for _, field := range fields[11:13] {
			ticks, _ := strconv.ParseFloat(string(field), 64)
			sum += ticks / ticksPerSecond
		}
	}
	return sum
}

// residentBytes is the memory of all of them that is in RAM.
func (p processes) residentBytes() (sum int64) {
	for _, pid := range p {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		pages, _ := strconv.ParseInt(string(bytes.Fields(statm)[1]), 10, 64)
		sum += pages * int64(os.Getpagesize())
	}
	return sum
}

// window is a measured span of time: from startWindow to end.
type window struct {
	pids  processes
	began time.Time
	cpu   float64
}

func startWindow(pids processes) window { return window{pids, time.Now(), pids.cpuSeconds()} }

// end gives the seconds and the CPU seconds since the start.
func (w window) end() (seconds, cpu float64) {
	return time.Since(w.began).Seconds(), w.pids.cpuSeconds() - w.cpu
}

// percentile of times in milliseconds, nearest rank; it sorts them.
func percentile(times []float64, share float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sort.Float64s(times)
	rank := int(math.Ceil(share*float64(len(times)))) - 1
	if rank < 0 {
		rank = 0
	}
	return times[rank]
}

func milliseconds(since time.Time) float64 { return time.Since(since).Seconds() * 1e3 }
