#!/bin/sh
# Fetches Apache Kafka for the tests from Maven Central into target/kafka/libs, once. Needs Java 17 and Maven.
set -eu
cd "$(dirname "$0")/../.."
libs=${LINESIDE_KAFKA_LIBS:-$PWD/target/kafka/libs}
version=$(sed -n "/kafka_2.13/{n;s/.*<version>\(.*\)<.*/\1/p}" tests/kafka/pom.xml)
if [ -e "$libs/kafka_2.13-$version.jar" ]; then
    exit 0
fi
# Into a folder beside it, renamed when complete: an interrupted download is not taken for an installation.
rm -rf "$libs" "$libs.partial"
mkdir -p "$(dirname "$libs")"
mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$libs.partial" >&2
mv "$libs.partial" "$libs"
