#!/bin/sh
# Restores a dump into a new database, whose connection is that of the PG... variables:
#
#   restore-dump.sh wundr.dir wundr_new
#
# It never touches a database that exists. The first error ends it. A dump contains no statistics of
# the planner, so that they are computed at the end. Prove the result with `admin::compare`, prepare
# it with `admin::after_restore`, and let swap.sh replace the live database.
set -eu
if [ "$#" -ne 2 ]; then
    echo "usage: restore-dump.sh DUMP DATABASE" >&2
    exit 2
fi
# The locale must be that of the dumped database: template0 accepts any.
createdb --template=template0 ${ENCODING:+--encoding="$ENCODING"} ${LOCALE:+--locale="$LOCALE"} "$2"
pg_restore --exit-on-error --jobs="${JOBS:-2}" --dbname="$2" "$1"
psql -X -q -v ON_ERROR_STOP=1 -d "$2" -c 'VACUUM ANALYZE'
