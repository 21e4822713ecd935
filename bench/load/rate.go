package main

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const echoBytes = 100

// tally is what the workers of one run have done in the measured time.
type tally struct {
	lock   sync.Mutex
	counts atomic.Bool // whether the measured time has begun
	times  []float64
	failed int
	reason string
}

func (t *tally) note(took float64, err error) {
	if !t.counts.Load() {
		return
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if err == nil {
		t.times = append(t.times, took)
		return
	}
	t.failed++
	t.reason = err.Error()
}

// connectOnce is what is counted: connect, send 100 bytes, have them back, close.
func connectOnce(o *options, address string, message []byte) error {
	connection, err := o.via.open(address, message)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(replyLimit))
	var back [echoBytes]byte
	_, err = io.ReadFull(connection, back[:])
	return err
}

func runRate(o *options) (result, error) {
	to, err := startTarget(o.target)
	if err != nil {
		return nil, err
	}
	message := append([]byte{echoes}, make([]byte, echoBytes)...)
	var t tally
	if o.count > 0 {
		t.counts.Store(true)
		for i := 0; i < o.count; i++ {
			began := time.Now()
			err := connectOnce(o, to.address, message)
			t.note(milliseconds(began), err)
		}
		return result{"connects": len(t.times), "failed": t.failed, "reason": t.reason, "p50_ms": percentile(t.times, .5)}, nil
	}

	var stop atomic.Bool
	var workers sync.WaitGroup
	for i := 0; i < o.workers; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for !stop.Load() {
				began := time.Now()
				err := connectOnce(o, to.address, message)
				t.note(milliseconds(began), err)
				if err != nil {
					time.Sleep(20 * time.Millisecond) // a refusing tunnel must not turn the load into a busy loop
				}
			}
		}()
	}
	time.Sleep(o.warm)
	t.counts.Store(true)
	w := startWindow(o.pids)
	time.Sleep(o.span())
	t.counts.Store(false)
	seconds, cpu := w.end()
	stop.Store(true)
	workers.Wait()
	return result{
		"connects": len(t.times), "failed": t.failed, "reason": t.reason, "seconds": seconds, "cpu_seconds": cpu,
		"p50_ms": percentile(t.times, .5), "p99_ms": percentile(t.times, .99),
	}, nil
}
