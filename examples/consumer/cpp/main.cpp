// The smallest useful C++ program: handles that close themselves, codes that become exceptions.
// usage: consumer DIRECTORY
#include <lsmer.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

struct Close {
    void operator()(lsm_db *db) const { lsm_close(db, 0, nullptr); }
    void operator()(lsm_iter *iter) const { lsm_iter_close(iter); }
};

lsm_rc check(lsm_rc rc, const lsm_error &err) {
    if (rc < 0) throw std::runtime_error(err.message);
    return rc;
}

std::unique_ptr<lsm_db, Close> open(const char *path) {
    lsm_db *db = nullptr;
    lsm_error err;
    check(lsm_open(path, nullptr, &db, &err), err);
    return std::unique_ptr<lsm_db, Close>(db);
}

void put(lsm_db *db, const std::string &key, const std::string &value) {
    lsm_error err;
    check(lsm_put(db, nullptr, nullptr, key.data(), key.size(), value.data(), value.size(), &err),
          err);
}

std::string scan(lsm_db *db) {
    lsm_iter *raw = nullptr;
    lsm_error err;
    check(lsm_iter_open(db, nullptr, nullptr, nullptr, 0, nullptr, 0, &raw, &err), err);
    std::unique_ptr<lsm_iter, Close> iter(raw);
    std::string all;
    lsm_slice key, value;
    while (check(lsm_iter_next(iter.get(), &key, &value, &err), err) == LSM_OK) {
        all.append(reinterpret_cast<const char *>(key.data), key.len).append("=");
        all.append(reinterpret_cast<const char *>(value.data), value.len).append(" ");
    }
    return all;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    try {
        auto db = open(argv[1]);
        put(db.get(), "fox", "red");
        put(db.get(), "bear", "brown");
        const std::string all = scan(db.get());
        std::cout << "lsmer " << lsm_version() << ": " << all << "\n";
        return all == "bear=brown fox=red " ? 0 : 3;
    } catch (const std::exception &problem) {
        std::cerr << problem.what() << "\n";
        return 1;
    }
}
