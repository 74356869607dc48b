//! What is charged to the memory budget.

use super::machine::{BUFFER, Machine, get, put};
use crate::base::options::OpenOptions;
use crate::vfs::sim::SimFs;

#[test]
fn indexes_that_readers_load_take_their_room_from_the_cache() {
    let options = OpenOptions { write_buffer_bytes: 64 << 10, ..OpenOptions::default() };
    let machine = Machine::with(SimFs::new(), options);
    let db = machine.open().unwrap();
    for i in 0..5000 {
        put(&db, &format!("key{i:05}"), "value", &BUFFER).unwrap();
    }
    db.flush().unwrap();
    machine.settle();
    db.close().unwrap();

    let db = machine.open().unwrap();
    machine.settle();
    let before = machine.env.cache.capacity();
    assert_eq!(db.stat("index_bytes").unwrap(), 0);
    // What was written in order may be in several tables.
    for i in (77..5000).step_by(200) {
        assert_eq!(get(&db, &format!("key{i:05}")).as_deref(), Some("value"));
    }
    machine.settle();

    let indexes = db.stat("index_bytes").unwrap();
    assert!(indexes > 10_000, "{indexes} bytes");
    assert_eq!(before - machine.env.cache.capacity(), indexes);
}

#[test]
fn a_processor_is_left_to_a_writer_who_is_not_delayed() {
    // The simulated machine has two.
    let machine = Machine::threaded(1 << 20, 4096);
    let env = &machine.env;
    let one = env.long_job(true);
    assert!(one.is_some());
    assert!(env.long_job(true).is_none(), "the second processor is his");
    assert!(env.long_job(false).is_some(), "unless he is delayed");
    drop(one);
    assert!(env.long_job(true).is_some(), "what ended counts no more");
}
