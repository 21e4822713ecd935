package main

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// flow is a set of bulk streams; moved counts what has arrived at their receiving ends.
type flow struct {
	connections []*net.TCPConn
	moved       *atomic.Int64
}

// startFlow opens the streams one after another; each runs from then on.
func startFlow(o *options, to *target, streams int, direction string) (*flow, error) {
	f := &flow{moved: new(atomic.Int64)}
	role := byte(pours)
	if direction == "up" {
		role, f.moved = swallows, &to.swallowed
	} else if direction != "down" {
		return nil, fmt.Errorf("no such direction: %s", direction)
	}
	for i := 0; i < streams; i++ {
		connection, err := o.via.open(to.address, []byte{role})
		if err != nil {
			f.stop()
			return nil, err
		}
		f.connections = append(f.connections, connection)
		if role == pours {
			go swallow(connection, f.moved)
		} else {
			go pour(connection)
		}
	}
	return f, nil
}

// stop resets the streams: what still lies in buffers must not be carried in someone else's measured time.
func (f *flow) stop() {
	for _, connection := range f.connections {
		connection.SetLinger(0)
		connection.Close()
	}
}

func runBulk(o *options) (result, error) {
	to, err := startTarget(o.target)
	if err != nil {
		return nil, err
	}
	opened := time.Now()
	f, err := startFlow(o, to, o.streams, o.direction)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	samples := [][2]float64{}
	if o.sample > 0 {
		for time.Since(opened) < o.warm+o.span() {
			samples = append(samples, [2]float64{time.Since(opened).Seconds(), float64(f.moved.Load())})
			time.Sleep(o.sample)
		}
		return result{"samples": samples}, nil
	}
	time.Sleep(o.warm)
	w, before := startWindow(o.pids), f.moved.Load()
	time.Sleep(o.span())
	moved := f.moved.Load() - before
	seconds, cpu := w.end()
	if moved == 0 {
		return nil, fmt.Errorf("no byte arrived in %.1f s", seconds)
	}
	return result{"bytes": moved, "seconds": seconds, "cpu_seconds": cpu}, nil
}
