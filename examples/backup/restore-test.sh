#!/bin/sh
# Restores the last base backup and the archive of the write-ahead log in a scratch directory, and
# checks that the last named write is there. Run it each month, on another machine if there is one,
# as the user that the server runs as, with PostgreSQL's programs in PATH:
#
#   restore-test.sh /backup/base /archive monthly_2026_11 \
#       "SELECT count(*) FROM public.users WHERE email = 'monthly@example.org'" 1
#
# Before it, write the row in the live database, and name the moment after the commit:
#
#   psql -d wundr -c "INSERT INTO public.users (email, name) VALUES ('monthly@example.org', 'Test')"
#   psql -d wundr -c "SELECT pg_create_restore_point('monthly_2026_11')" -c 'SELECT pg_switch_wal()'
#
# A recovery without a target ends at a hole or a damaged file of the archive, says "archive
# recovery complete", and has lost the rest. With a target, it fails. So there is always a target
# here.
set -eu
if [ "$#" -ne 5 ]; then
    echo "usage: restore-test.sh BASE ARCHIVE TARGET QUERY EXPECTED" >&2
    exit 2
fi
base=$1
archive=$2
target=$3
query=$4
expected=$5
database=${DATABASE:-wundr}

pg_verifybackup --quiet --no-parse-wal "$base"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/restore-test.XXXXXX")
data=$scratch/data
finish() {
    status=$?
    trap - EXIT
    pg_ctl --pgdata="$data" --mode=immediate --silent stop >/dev/null 2>&1 || :
    if [ "$status" -ne 0 ] && [ -f "$scratch/log" ]; then tail -n 20 "$scratch/log" >&2; fi
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
cp -a "$base" "$data"
chmod 700 "$data"
rm -f "$data/postmaster.pid"
# Debian keeps the configuration elsewhere. Only this user enters the directory of the socket.
touch "$data/postgresql.conf"
echo "local all all trust" >"$scratch/pg_hba.conf"
# The last value of a setting counts. Nothing of the scratch server reaches the archive. Without a
# hot standby, the server accepts connections when it has reached the target, and none if it ends
# before.
cat >>"$data/postgresql.auto.conf" <<CONF
hba_file = '$scratch/pg_hba.conf'
archive_mode = off
restore_command = 'cp "$archive/%f" "%p"'
recovery_target = ''
recovery_target_time = ''
recovery_target_xid = ''
recovery_target_lsn = ''
recovery_target_name = '$target'
recovery_target_action = 'promote'
recovery_target_timeline = 'latest'
hot_standby = off
listen_addresses = ''
unix_socket_directories = '$scratch'
port = 5432
ssl = off
logging_collector = off
CONF
touch "$data/recovery.signal"
pg_ctl --pgdata="$data" --log="$scratch/log" --silent --wait --timeout=3600 start || :
until pg_isready -q -h "$scratch" -p 5432; do
    if ! pg_ctl --pgdata="$data" status >/dev/null 2>&1; then
        echo "restore-test.sh: the recovery did not reach $target" >&2
        exit 1
    fi
    sleep 0.2
done
found=$(psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$scratch" -p 5432 -U "${PGUSER:-postgres}" -d "$database" -c "$query")
if [ "$found" != "$expected" ]; then
    echo "restore-test.sh: expected $expected, found $found" >&2
    exit 1
fi
echo "restore-test.sh: $target was reached, and the last named write is there"
