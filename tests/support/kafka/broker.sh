# Runs a Kafka broker for as long as stdin is open, and not a moment longer: whoever holds the other end of the pipe may
# be killed in any way, and no broker is left behind.
#   $1  folder of the jars    $2  folder of the broker: server.properties is there, data/ will be
# A file `keep` in the broker's folder keeps the data; otherwise they go with the broker.
trap '' INT
exec 3<&0 </dev/null
cd "$2" || exit 1
jvm="-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
[ -d data ] || java $jvm -cp "$1/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c server.properties 3<&- || exit 1
java $jvm -cp "$1/*" kafka.Kafka server.properties 3<&- &
broker=$!
echo "$broker" >pid
{ read -r _ <&3; kill -9 "$broker"; } 2>/dev/null &
watcher=$!
wait "$broker"
kill "$watcher" 2>/dev/null
[ -e keep ] || rm -rf data
