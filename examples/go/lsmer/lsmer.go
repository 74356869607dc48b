// Package lsmer is a small Go face of the lsmer library: enough to copy from and to extend.
//
// Batches are built and scan pages are read in Go memory, so that a batch or a page of many records
// costs one crossing into C. A DB may be used by any number of goroutines. A Batch belongs to one
// goroutine at a time.
package lsmer

// #cgo LDFLAGS: -llsmer
// #include <lsmer.h>
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// ErrNotFound says that a key has no value. It is news, not a failure.
var ErrNotFound = errors.New("lsmer: not found")

// Error is a failure that the library reported.
type Error struct {
	Code    int32
	Name    string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Message) }

func failure(rc C.lsm_rc, err *C.lsm_error) error {
	if rc >= 0 {
		return nil
	}
	return &Error{int32(rc), C.GoString(C.lsm_rc_name(rc)), C.GoString(&err.message[0])}
}

var empty [1]byte

// pointer is NULL for nil and leads to no bytes for an empty slice; the library tells them apart in
// the bounds of a scan.
func pointer(bytes []byte) unsafe.Pointer {
	if bytes == nil {
		return nil
	}
	if len(bytes) == 0 {
		return unsafe.Pointer(&empty)
	}
	return unsafe.Pointer(&bytes[0])
}

// DB is an open database.
type DB struct{ handle *C.lsm_db }

// Keyspace is a named, ordered set of keys. The nil *Keyspace is the one called "default".
type Keyspace struct{ handle *C.lsm_ks }

// Snapshot is one moment of the database.
type Snapshot struct {
	handle *C.lsm_snapshot
	// Seq is the position in the log of that moment.
	Seq uint64
}

// Open opens the database in the directory, and makes it if it is not there.
func Open(directory string) (*DB, error) {
	path := append([]byte(directory), 0)
	var err C.lsm_error
	db := new(DB)
	rc := C.lsm_open((*C.char)(pointer(path)), nil, &db.handle, &err)
	return db, failure(rc, &err)
}

// Close ends the use of the database; later calls return an error.
func (db *DB) Close() error {
	var err C.lsm_error
	return failure(C.lsm_close(db.handle, 0, &err), &err)
}

// Keyspace opens a keyspace, and makes it if it is not there.
func (db *DB) Keyspace(name string) (*Keyspace, error) {
	text := append([]byte(name), 0)
	var err C.lsm_error
	ks := new(Keyspace)
	rc := C.lsm_ks_open(db.handle, (*C.char)(pointer(text)), nil, &ks.handle, &err)
	return ks, failure(rc, &err)
}

// Release gives the handle back; the keyspace stays in the database.
func (ks *Keyspace) Release() { C.lsm_ks_release(ks.handle) }

func (ks *Keyspace) c() *C.lsm_ks {
	if ks == nil {
		return nil
	}
	return ks.handle
}

// Put sets the value of a key.
func (db *DB) Put(ks *Keyspace, key, value []byte) error {
	var err C.lsm_error
	rc := C.lsm_put(db.handle, ks.c(), nil, pointer(key), C.size_t(len(key)),
		pointer(value), C.size_t(len(value)), &err)
	return failure(rc, &err)
}

// Delete removes a key, if it is there.
func (db *DB) Delete(ks *Keyspace, key []byte) error {
	var err C.lsm_error
	rc := C.lsm_delete(db.handle, ks.c(), nil, pointer(key), C.size_t(len(key)), &err)
	return failure(rc, &err)
}

// Get appends the value of the key to buffer[:0]. at may be nil, for the newest value.
func (db *DB) Get(ks *Keyspace, at *Snapshot, key, buffer []byte) ([]byte, error) {
	options := readOptions(at)
	buffer = buffer[:cap(buffer)]
	for {
		var err C.lsm_error
		var bytes C.size_t
		if len(buffer) == 0 {
			buffer = make([]byte, 256)
		}
		rc := C.lsm_get(db.handle, ks.c(), &options, pointer(key), C.size_t(len(key)),
			pointer(buffer), C.size_t(len(buffer)), &bytes, &err)
		switch {
		case rc < 0:
			return nil, failure(rc, &err)
		case rc == C.LSM_NOT_FOUND:
			return nil, ErrNotFound
		case rc == C.LSM_BUFFER_SMALL:
			buffer = make([]byte, bytes)
		default:
			return buffer[:bytes], nil
		}
	}
}

func readOptions(at *Snapshot) C.lsm_read_opts {
	var options C.lsm_read_opts
	options.struct_size = C.uint32_t(unsafe.Sizeof(options))
	if at != nil {
		options.snap = at.handle
	}
	return options
}

// Batch is a list of operations that take effect together. Building it calls no C.
type Batch struct{ packed []byte }

// Put adds an operation that sets a value.
func (b *Batch) Put(ks *Keyspace, key, value []byte) { b.add(C.LSM_OP_PUT, ks, key, value) }

// Delete adds an operation that removes a key.
func (b *Batch) Delete(ks *Keyspace, key []byte) { b.add(C.LSM_OP_DELETE, ks, key, nil) }

// add writes: u8 operation, u8 flags, u16 0, u32 keyspace, u32 and u32 lengths, key, value.
func (b *Batch) add(op byte, ks *Keyspace, key, value []byte) {
	id := uint32(C.lsm_ks_id(ks.c()))
	var head [16]byte
	head[0] = op
	binary.LittleEndian.PutUint32(head[4:], id)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(key)))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(value)))
	b.packed = append(append(append(b.packed, head[:]...), key...), value...)
}

// Write carries out the batch, wholly or not at all, and returns its position in the log.
func (db *DB) Write(b *Batch) (uint64, error) {
	var err C.lsm_error
	var seq C.uint64_t
	rc := C.lsm_write(db.handle, nil, pointer(b.packed), C.size_t(len(b.packed)), &seq, &err)
	return uint64(seq), failure(rc, &err)
}

// Snapshot takes the present moment.
func (db *DB) Snapshot() (*Snapshot, error) {
	var err C.lsm_error
	var seq C.uint64_t
	at := new(Snapshot)
	rc := C.lsm_snapshot_create(db.handle, &at.handle, &seq, &err)
	at.Seq = uint64(seq)
	return at, failure(rc, &err)
}

// Release lets the database forget the moment.
func (s *Snapshot) Release() { C.lsm_snapshot_release(s.handle) }

// Scan calls visit for the keys from lo up to, not including, hi in order, a page at a time; nil is
// no bound. Key and value hold until visit returns. page is the memory for one page; it grows if a
// record does not fit.
func (db *DB) Scan(ks *Keyspace, at *Snapshot, lo, hi, page []byte, visit func(key, value []byte) error) error {
	options := readOptions(at)
	for {
		var err C.lsm_error
		var used, count C.size_t
		rc := C.lsm_scan(db.handle, ks.c(), &options, pointer(lo), C.size_t(len(lo)),
			pointer(hi), C.size_t(len(hi)), 0, 0, pointer(page), C.size_t(len(page)),
			&used, &count, &err)
		if rc < 0 {
			return failure(rc, &err)
		}
		if rc == C.LSM_BUFFER_SMALL {
			page = make([]byte, used)
			continue
		}
		var last []byte
		for rest := page[:used]; len(rest) > 0; {
			klen := binary.LittleEndian.Uint32(rest)
			vlen := binary.LittleEndian.Uint32(rest[4:])
			key, value := rest[8:8+klen], rest[8+klen:8+klen+vlen]
			if failed := visit(key, value); failed != nil {
				return failed
			}
			last, rest = key, rest[8+klen+vlen:]
		}
		if rc == C.LSM_END {
			return nil
		}
		// The smallest key after the last one.
		lo = append(append([]byte(nil), last...), 0)
	}
}
