/* The smallest useful C program: open, put, get, close. usage: consumer DIRECTORY */
#include <lsmer.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what, const lsm_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->message);
    return 1;
}

int main(int argc, char **argv) {
    lsm_db *db = NULL;
    lsm_error err;
    char value[16];
    size_t bytes = 0;

    if (argc != 2) return 2;
    if (lsm_open(argv[1], NULL, &db, &err) < 0) return failed("open", &err);
    if (lsm_put(db, NULL, NULL, "fox", 3, "red", 3, &err) < 0) return failed("put", &err);
    lsm_rc rc = lsm_get(db, NULL, NULL, "fox", 3, value, sizeof value, &bytes, &err);
    if (rc < 0) return failed("get", &err);
    if (rc != LSM_OK || bytes != 3 || memcmp(value, "red", 3) != 0) return 3;
    if (lsm_close(db, 0, &err) < 0) return failed("close", &err);
    printf("lsmer %s: the fox is %.*s\n", lsm_version(), (int)bytes, value);
    return 0;
}
