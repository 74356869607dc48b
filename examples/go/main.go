// Command lsmer-go uses lsmer from eight goroutines at once and checks every value that it reads.
//
// usage: lsmer-go DIRECTORY
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"example.org/lsmer-go/lsmer"
)

const (
	goroutines = 8
	keys       = 2000
	pageBytes  = 4096
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: lsmer-go DIRECTORY")
	}
	start := time.Now()
	db, err := lsmer.Open(os.Args[1])
	check(err)
	mirror, err := db.Keyspace("mirror")
	check(err)

	failures := make(chan error, goroutines)
	var group sync.WaitGroup
	for worker := 0; worker < goroutines; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			if err := work(db, mirror, worker); err != nil {
				failures <- fmt.Errorf("goroutine %d: %w", worker, err)
			}
		}(worker)
	}
	group.Wait()
	close(failures)
	for failure := range failures {
		log.Fatal(failure)
	}

	mirror.Release()
	check(db.Close())
	var closed *lsmer.Error
	if err := db.Put(nil, []byte("late"), nil); !errors.As(err, &closed) || closed.Code != -2 {
		log.Fatalf("a write after close gave %v, not LSM_E_CLOSED", err)
	}
	fmt.Printf("%d goroutines, %d keys each, all values as expected: %v\n",
		goroutines, keys, time.Since(start).Round(time.Millisecond))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// key sorts by worker, then by number.
func key(worker, number int) []byte {
	bytes := []byte{byte(worker), 0, 0, 0, 0}
	binary.BigEndian.PutUint32(bytes[1:], uint32(number))
	return bytes
}

func value(worker, number, round int) string {
	return fmt.Sprintf("worker %d, number %d, round %d", worker, number, round)
}

func work(db *lsmer.DB, mirror *lsmer.Keyspace, worker int) error {
	if err := putAndGet(db, worker); err != nil {
		return err
	}
	before, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer before.Release()
	if err := batch(db, mirror, worker); err != nil {
		return err
	}

	// The snapshot shows every key with its first value, the present only the even ones.
	if err := scan(db, nil, before, worker, 1, 1); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := scan(db, nil, nil, worker, 2, 2); err != nil {
		return fmt.Errorf("default: %w", err)
	}
	if err := scan(db, mirror, nil, worker, 2, 2); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	_, err = db.Get(mirror, before, key(worker, 0), nil)
	if !errors.Is(err, lsmer.ErrNotFound) {
		return fmt.Errorf("the mirror was empty at the snapshot: %v", err)
	}
	return nil
}

func putAndGet(db *lsmer.DB, worker int) error {
	buffer := make([]byte, 0, 8) // too small at first: Get asks again
	for number := 0; number < keys; number++ {
		if err := db.Put(nil, key(worker, number), []byte(value(worker, number, 1))); err != nil {
			return err
		}
		found, err := db.Get(nil, nil, key(worker, number), buffer)
		if err != nil {
			return err
		}
		if want := value(worker, number, 1); string(found) != want {
			return fmt.Errorf("got %q, not %q", found, want)
		}
		buffer = found
	}
	_, err := db.Get(nil, nil, key(worker, keys), nil)
	if !errors.Is(err, lsmer.ErrNotFound) {
		return fmt.Errorf("a key that was never written: %v", err)
	}
	return nil
}

// batch gives even keys a new value, copies them to the mirror and removes odd keys, all at once.
func batch(db *lsmer.DB, mirror *lsmer.Keyspace, worker int) error {
	var batch lsmer.Batch
	for number := 0; number < keys; number++ {
		if number%2 == 1 {
			batch.Delete(nil, key(worker, number))
			continue
		}
		text := []byte(value(worker, number, 2))
		batch.Put(nil, key(worker, number), text)
		batch.Put(mirror, key(worker, number), text)
	}
	_, err := db.Write(&batch)
	return err
}

// scan expects every step-th key of the worker with its value of that round, and nothing else.
func scan(db *lsmer.DB, ks *lsmer.Keyspace, at *lsmer.Snapshot, worker, step, round int) error {
	next := 0
	lo, hi := []byte{byte(worker)}, []byte{byte(worker + 1)}
	err := db.Scan(ks, at, lo, hi, make([]byte, pageBytes), func(found, text []byte) error {
		want := value(worker, next, round)
		if string(found) != string(key(worker, next)) || string(text) != want {
			return fmt.Errorf("found %x = %q, not %q", found, text, want)
		}
		next += step
		return nil
	})
	if err == nil && next != keys {
		return fmt.Errorf("the scan ended before key %d of %d", next, keys)
	}
	return err
}
