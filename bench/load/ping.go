package main

import (
	"fmt"
	"io"
	"time"
)

const pingBytes = 64

func runPing(o *options) (result, error) {
	to, err := startTarget(o.target)
	if err != nil {
		return nil, err
	}
	f, err := startFlow(o, to, o.beside, o.direction)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	connection, err := o.via.open(to.address, []byte{echoes})
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	time.Sleep(o.warm)

	var message [pingBytes]byte
	times := []float64{}
	w, before := startWindow(nil), f.moved.Load()
	for time.Since(w.began) < o.span() {
		began := time.Now()
		connection.SetDeadline(began.Add(replyLimit))
		connection.Write(message[:])
		if _, err := io.ReadFull(connection, message[:]); err != nil {
			return nil, fmt.Errorf("ping: %w", err)
		}
		times = append(times, milliseconds(began))
		if o.pause > 0 {
			time.Sleep(o.pause)
		}
	}
	moved := f.moved.Load() - before
	seconds, _ := w.end()
	return result{
		"pings": len(times), "p50_ms": percentile(times, .5), "p99_ms": percentile(times, .99),
		"bytes": moved, "seconds": seconds,
	}, nil
}
