#!/bin/sh
# Archives a file of the write-ahead log:
#
#   archive_command = 'sh /etc/wundr/archive.sh "%p" %f /archive'
#
# It may be repeated. A file that is archived already is compared, never overwritten: another
# content under the same name means that two servers write to one archive. A file that could not be
# copied completely, for example because the disk is full, is left under another name, and is copied
# again by the next try. The archive is durable before PostgreSQL removes its own file.
set -eu
if [ "$#" -ne 3 ]; then
    echo "usage: archive.sh PATH NAME DIRECTORY" >&2
    exit 2
fi
file=$1
archived=$3/$2
if [ -e "$archived" ]; then
    if cmp -s "$file" "$archived"; then exit 0; fi
    echo "archive.sh: $archived has another content than $file" >&2
    exit 1
fi
cp "$file" "$archived.part"
sync "$archived.part"
mv "$archived.part" "$archived"
sync "$3"
