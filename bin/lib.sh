# What the commands in bin/ share: sourced in the root of the checkout, by bash 3.2 or newer.

cache=.cpcache
tools_deps=0.31.1646

# Prints one line on stderr, apart from the output of the program.
say() { printf 'espalier: %s\n' "$*" >&2; }

die() { say "$@"; exit 1; }

has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command without its output, which is shown, but for stack frames, only if it fails.
quietly() {
  local log status=0
  log=$(mktemp "${TMPDIR:-/tmp}/espalier.XXXXXX")
  "$@" </dev/null >"$log" 2>&1 || status=$?
  [ $status = 0 ] || grep -v -e '^[[:space:]]*at ' -e '^[[:space:]]*\.\.\. ' -e '^SLF4J' "$log" >&2 || true
  rm -f "$log"
  return $status
}

## Java and Clojure

# Prints the java to run: that of JAVA_CMD, of JAVA_HOME, or of PATH.
java_cmd() {
  if [ -n "${JAVA_CMD:-}" ]; then echo "$JAVA_CMD"
  elif [ -n "${JAVA_HOME:-}" ]; then echo "$JAVA_HOME/bin/java"
  else command -v java
  fi
}

# Prints the release of the JDK, 0 where there is none.
jdk_release() {
  local java release=''
  if java=$(java_cmd); then
    release=$("$java" --list-modules 2>/dev/null | sed -n 's/^jdk\.compiler@\([0-9]*\).*/\1/p') || true
  fi
  echo "${release:-0}"
}

# True where `clojure` is the Clojure CLI. Distributions have another launcher of that name, which
# starts a JVM to answer: so the answer is kept until the launcher changes.
has_cli() {
  local cli answer=$cache/cli
  cli=$(command -v clojure) || return 1
  if [ ! "$answer" -nt "$cli" ] || [ "$(sed 1q "$answer")" != "$cli" ]; then
    mkdir -p $cache
    { echo "$cli"; "$cli" --version </dev/null 2>/dev/null || true; } >"$answer"
  fi
  grep -q '^Clojure CLI' "$answer"
}

# Writes the classpath of tools.deps, the engine of the Clojure CLI, to file $1.
fetch_engine() {
  local dir
  has mvn || die "neither the Clojure CLI nor Maven is here: bin/test installs what is missing"
  say "fetching tools.deps"
  dir=$(mktemp -d "${TMPDIR:-/tmp}/espalier.XXXXXX")
  cat >"$dir/pom.xml" <<END
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>espalier</groupId>
  <artifactId>engine</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>org.clojure</groupId>
      <artifactId>tools.deps</artifactId>
      <version>$tools_deps</version>
    </dependency>
  </dependencies>
</project>
END
  quietly mvn -B -q -f "$dir/pom.xml" dependency:build-classpath -Dmdep.outputFile="$dir/cp" ||
    die "Maven could not fetch tools.deps $tools_deps"
  mv "$dir/cp" "$1"
  rm -rf "$dir"
}

# True where file $1 holds a classpath whose jars all exist.
jars_exist() {
  local entry IFS=:
  [ -f "$1" ] || return 1
  for entry in $(cat "$1"); do
    case $entry in *.jar) [ -f "$entry" ] || return 1 ;; esac
  done
}

# Resolves deps.edn with the options of make-classpath2 that are given. Leaves in $resolved the
# directory of the files cp, jvm, main and basis, which are kept by content of deps.edn and options.
resolve() {
  local engine=$cache/tools.deps-$tools_deps dir
  resolved=$cache/$({ cat deps.edn; printf '%s\n' "$tools_deps" "$@"; } | cksum | tr ' ' -)
  if jars_exist "$resolved/cp"; then return; fi
  mkdir -p $cache
  jars_exist "$engine" || fetch_engine "$engine"
  say "resolving dependencies"
  dir=$PWD/$resolved.$$
  mkdir -p "$dir"
  if quietly "$(java_cmd)" ${CLJ_JVM_OPTS:-} -cp "$(cat "$engine")" clojure.main \
     -m clojure.tools.deps.script.make-classpath2 --config-user "" --config-project deps.edn "$@" \
     --cp-file "$dir/cp" --jvm-file "$dir/jvm" --main-file "$dir/main" \
     --manifest-file "$dir/manifest" --basis-file "$dir/basis"; then
    rm -rf "$resolved"
    mv "$dir" "$resolved"
  else
    rm -rf "$dir"
    die "could not resolve the dependencies of deps.edn"
  fi
}

# Prints the classpath for aliases $1 and further deps.edn data $2 or none, with absolute paths and
# with Clojure first: the manifest of a distribution's nREPL names the Clojure of that distribution,
# which would hide ours.
classpath() {
  local entries jar='/clojure-[0-9][^/]*\.jar$'
  entries=$(bin/clj ${2:+-Sdeps "$2"} -Spath "-M$1" | tr : '\n' | sed "s|^[^/]|$PWD/&|") || return 1
  { grep "$jar" <<<"$entries"; grep -v "$jar" <<<"$entries"; } | paste -s -d : -
}

# Prints the directory of the classes that dev/espalier/class_cache.clj keeps, by content of all that they
# are compiled from, the classpath $1, and the JDK.
class_cache() {
  printf '%s/%s/classes-' "$PWD" $cache
  { find src resources dev/espalier/class_cache.clj -type f | LC_ALL=C sort | xargs cksum; echo "$1"; jdk_release; } | cksum | tr ' ' -
}

# Becomes clojure.main with aliases $1, further deps.edn data $2 or none, and the arguments that follow.
# It works in the directory $directory, or here; with $keep_classes its second start is faster.
run() {
  local cp kept=''
  cp=$(classpath "$1" "$2")
  shift 2
  if [ -n "${keep_classes:-}" ]; then
    kept=$(class_cache "$cp")
    cp=$kept/classes.jar:$cp
  fi
  cd "${directory:-.}"
  exec ${line_editor:-} "$(java_cmd)" ${JAVA_OPTS:-} ${kept:+"-Despalier.class-cache=$kept"} -cp "$cp" clojure.main "$@"
}

# Compiles src/java where it is newer than its classes.
compile_kernel() {
  if [ ! -d target/classes ] || [ -n "$(find src/java -newer target/classes)" ]; then
    bin/clj -P -T:build
    say "compiling the kernel"
    quietly bin/clj -T:build javac || die "the kernel does not compile"
  fi
}

## nREPL

# True where nREPL comes from its public repository; a repository that does not answer is left soon.
public_nrepl() {
  CLJ_JVM_OPTS="-Daether.connector.connectTimeout=3000 -Daether.connector.requestTimeout=10000" \
    bin/clj -P -M:nrepl >/dev/null 2>&1
}

# Prints deps.edn data that takes nREPL from the package of the distribution, or nothing.
packaged_nrepl() {
  local jar=/usr/share/java/nrepl.jar
  [ -f $jar ] || { has apt-get && apt_install libnrepl-clojure; } || true
  [ ! -f $jar ] || echo "{:aliases {:nrepl {:extra-deps {nrepl/nrepl {:local/root \"$jar\"}}}}}"
}

# Leaves in $nrepl the alias of nREPL, empty where there is none, and in $nrepl_deps what must be
# added to deps.edn for it, mostly nothing. The answer is kept while deps.edn stays; where the public
# repository did not answer, for a day.
find_nrepl() {
  local answer=$cache/nrepl
  if [ ! "$answer" -nt deps.edn ] || { [ "$(cat "$answer")" != public ] && [ -z "$(find "$answer" -mtime -1)" ]; }; then
    say "looking for nREPL"
    mkdir -p $cache
    if public_nrepl; then echo public >"$answer"; else packaged_nrepl >"$answer"; fi
  fi
  nrepl=:nrepl nrepl_deps=$(cat "$answer")
  case $nrepl_deps in
    public) nrepl_deps='' ;;
    '')     nrepl='' ;;
  esac
}

## What must be installed

# True where this user may install packages; leaves in $sudo what must stand before apt-get.
may_install() {
  sudo=''
  [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null && sudo='sudo -n'; }
}

# Brings the lists of packages up to date, once; where that fails, the old ones may do.
apt_update() {
  [ -n "${apt_updated:-}" ] || quietly $sudo apt-get update || true
  apt_updated=1
}

# Installs packages of Debian or Ubuntu.
apt_install() {
  may_install || return 1
  say "installing $*"
  apt_update
  quietly $sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# Prints the package of a JDK that is new enough, which the default of some releases is not.
jdk_package() {
  if apt-cache depends default-jdk-headless 2>/dev/null | grep -q 'openjdk-\(8\|11\)-'; then
    echo openjdk-17-jdk-headless
  else
    echo default-jdk-headless
  fi
}

# True where only servers and JACK are missing, and what runs can do without.
can_do_without() { [ -n "${servers_optional:-}" ] && [ -z "$jdk$maven" ]; }

# Makes sure of a JDK, of Maven or the Clojure CLI, of the servers, and of JACK on Linux; with
# $servers_optional, of the last two only where they may be installed.
ensure_tools() {
  local jdk='' maven='' scsynth='' supernova='' jackd=''
  local app=/Applications/SuperCollider.app/Contents/Resources
  if [ "$(jdk_release)" -lt 17 ]; then
    [ -z "${JAVA_CMD:-}${JAVA_HOME:-}" ] || die "$(java_cmd) is not of a JDK of release 17 or newer: see JAVA_HOME"
    jdk=1
  fi
  has_cli || has mvn || maven=1
  has scsynth || [ -x $app/scsynth ] || scsynth=1
  has supernova || [ -x $app/supernova ] || supernova=1
  [ "$(uname)" = Darwin ] || has jackd || jackd=1
  [ -n "$jdk$maven$scsynth$supernova$jackd" ] || return 0

  if [ "$(uname)" = Darwin ]; then
    [ -z "$maven" ] || say "please run: brew install clojure/tools/clojure"
    [ -z "$jdk" ] || say "please run: brew install --cask temurin"
    [ -z "$scsynth$supernova" ] || say "please run: brew install --cask supercollider (not on PATH, not in $app)"
    can_do_without || exit 1
    return 0
  fi

  if can_do_without; then
    has apt-get && may_install || return 0
    apt_update
    apt_install ${scsynth:+supercollider-server} ${supernova:+supercollider-supernova} ${jackd:+jackd2} ||
      say "could not install the servers: going on without"
    return 0
  fi

  has apt-get || die "please install a JDK of release 17 or newer, Maven, scsynth, supernova and jackd"
  if may_install; then apt_update; fi
  set -- ${maven:+maven} ${scsynth:+supercollider-server} ${supernova:+supercollider-supernova} ${jackd:+jackd2}
  [ -z "$jdk" ] || set -- "$(jdk_package)" "$@"
  may_install || die "please run: sudo apt-get install --no-install-recommends $*"
  apt_install "$@" || die "could not install $*"
  [ "$(jdk_release)" -ge 17 ] || die "$(java_cmd) is not of a JDK of release 17 or newer: set JAVA_HOME"
}
