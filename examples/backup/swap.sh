#!/bin/sh
# Replaces a live database by a restored one, under connections:
#
#   swap.sh wundr wundr_new
#
# The live one is wundr_old afterwards, and accepts no connections. Settings of the live database,
# and of roles in it, are copied: they belong to the database and not to its name. Sessions of
# clients are ended. With PGBOUNCER, the connection string of its console, clients behind it wait
# instead:
#
#   PGBOUNCER='host=/run/pgbouncer port=6432 user=admin dbname=pgbouncer' swap.sh wundr wundr_new
#
# PgBouncer needs server_login_retry = 1: for the first client of a role it tries to log in during
# the swap, which fails, and it waits 15 s before the next try by default.
#
# A superuser runs it. After an error, the live database is as it was.
set -eu
if [ "$#" -ne 2 ]; then
    echo "usage: swap.sh LIVE NEW" >&2
    exit 2
fi
live=$1
new=$2

console() {
    if [ -n "${PGBOUNCER:-}" ]; then psql -X -q "$PGBOUNCER" -c "$1" >/dev/null; fi
}
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -v live="$live" -v old="${live}_old" -v new="$new" -d postgres; }

finish() {
    status=$?
    trap - EXIT
    if [ "$status" -ne 0 ]; then
        sql <<'SQL' || :
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname) FROM pg_database
    WHERE datname IN (:'live', :'new') AND NOT datallowconn \gexec
SQL
    fi
    console "RESUME $live" || :
    exit "$status"
}
trap finish EXIT

console "PAUSE $live"
sql <<'SQL'
-- The value of a list is stored as it is written.
SELECT format('ALTER %s SET %s TO %s',
        CASE setrole WHEN 0 THEN format('DATABASE %I', :'new')
            ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(setrole), :'new') END,
        name,
        CASE WHEN name IN ('search_path', 'local_preload_libraries', 'session_preload_libraries', 'temp_tablespaces',
                'unix_socket_directories', 'DateStyle')
            THEN value ELSE quote_literal(value) END)
    FROM pg_db_role_setting
    CROSS JOIN LATERAL unnest(setconfig) AS setting
    CROSS JOIN LATERAL (SELECT split_part(setting, '=', 1) AS name,
        substr(setting, strpos(setting, '=') + 1) AS value) AS parts
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = :'live')
\gexec
-- No client connects from now on, and the sessions end before the names change.
ALTER DATABASE :"live" ALLOW_CONNECTIONS false;
ALTER DATABASE :"new" ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 10000)) || ' sessions ended' FROM pg_stat_activity
    WHERE datname IN (:'live', :'new');
BEGIN;
ALTER DATABASE :"live" RENAME TO :"old";
ALTER DATABASE :"new" RENAME TO :"live";
COMMIT;
ALTER DATABASE :"live" ALLOW_CONNECTIONS true;
SQL
console "RECONNECT $live"
