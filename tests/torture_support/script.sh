# A script of the torture: `sh script.sh BEHAVIOUR`. What it does follows from the seed, its date and its attempt alone.
# Every line of the ledger is one write: WHAT UPTIME LIFE SCRIPT DATE ATTEMPT PID WHAT-IT-EXITS-WITH.
tell() {
  read -r uptime _ </proc/uptime
  printf '%s %s %s %s %s %s %s %s\n' "$1" "$uptime" "$LIFE" "$MHO_SCRIPT" "$MHO_TRADING_DATE" "$MHO_ATTEMPT" $$ "$2" >>ledger
}

# Everything in the group holds the lock, as long as it lives: a start beside a rest of the attempt before is a second copy, too.
exec 9>>"lock.$MHO_SCRIPT"
flock -n 9 || tell second "$1"

month=${MHO_TRADING_DATE#*-}; month=${month%-*}; month=${month#0}
day=${MHO_TRADING_DATE##*-}; day=${day#0}
x=$((SEED * 7919 + ${#MHO_SCRIPT} * 31337 + month * 1201 + day * 104729 + MHO_ATTEMPT * 1299709))
draw() { x=$(((x * 1103515245 + 12345) % 2147483648)); drawn=$((x / 65536 % $1)); }
draw 7; draw 7; draw 10; choice=$drawn
draw 300; short=$((100 + drawn))

tell start "$1"

# Lives for a part of a second, then ends with $1.
exit_soon() { sleep 0.$short; tell end "$1"; exit "$1"; }

# Like much that was written for a terminal, it is gone from its group, its session and its parent.
leave_somebody() {
  [ "$((choice % 2))" = 0 ] && trap '' TERM
  setsid sh -c 'flock -n 8 || printf "second 0 %s %s %s %s %s child\n" "$LIFE" "$MHO_SCRIPT" "$MHO_TRADING_DATE" "$MHO_ATTEMPT" $$ >>ledger
    sleep 300; :' 8>>"lock.$MHO_SCRIPT.child" 9>&- &
  trap - TERM
}

case $1 in
steady) trap 'tell end 0; exit 0' TERM; while :; do sleep 300 & wait $!; done ;;
stubborn) trap '' TERM; while :; do sleep 300; done ;;
forker)
  leave_somebody
  case $choice in 0|1) exit_soon 0 ;; 2) exit_soon 42 ;; 3) exit_soon 78 ;; *) exit_soon 1 ;; esac ;;
crasher)
  case $choice in 0|1|2) sleep 0.$short; kill -KILL $$ ;; 3) sleep 0.$short; kill -SEGV $$ ;; 4) exit 3 ;; *) exit_soon 1 ;; esac ;;
always) case $choice in 0) exit_soon 1 ;; *) exit_soon 0 ;; esac ;;
mixed) case $choice in 0|1|2|3) exit_soon 0 ;; 4) exit_soon 42 ;; 5) exit_soon 78 ;; *) exit_soon 1 ;; esac ;;
esac
