(ns espalier.inspector-browser-test
  "The page of a server in a real browser. Without a Chromium nothing is tested here, which
  is said."
  (:require
   [clojure.test :refer [deftest is testing use-fixtures]]
   [espalier.browser :as browser]
   [espalier.core :as sc]
   [espalier.inspector :as inspector]
   [espalier.instruments :as instruments]
   [espalier.pages :as pages]
   [espalier.servers :as servers :refer [eventually]]
   [espalier.synthdef :refer [synthdef]]
   [espalier.ugens :as ugens])
  (:import
   (java.io Closeable)))

(set! *warn-on-reflection* true)

(use-fixtures :each servers/leaves-nothing)

(def ^:private reading
  "JavaScript that reads the tree off the page, by what is seen of each row."
  "(function read(li) {
     const row = li.querySelector(':scope > .row');
     const seen = (selector) => [...row.querySelectorAll(selector)].filter((e) => !e.hidden).map((e) => e.textContent).filter(Boolean);
     const node = { id: Number(seen('.id')[0]), kind: li.classList.contains('group') ? 'group' : 'synth',
                    name: seen('.name')[0], keys: seen('.key'), tags: seen('.tag').filter((t) => t !== 'read-write') };
     if (node.kind === 'group') node.children = [...li.querySelectorAll(':scope > ul > li')].map(read);
     else node.controls = [...row.querySelectorAll('.chip')].map((c) => [c.dataset.control, JSON.parse(c.dataset.value), c.querySelector('.v').textContent !== '']);
     return node;
   })(document.querySelector('#tree > li'))")

(defn- numbers
  "Numbers as doubles, all the way down: JavaScript has no others."
  [x]
  (cond (number? x) (double x), (sequential? x) (mapv numbers x), :else x))

(defn- told
  "A tree of a query, as a browser shows it."
  [{:keys [id kind controls children paused parallel] k :key :as node}]
  (cond-> {:id (double id), :kind (name kind), :name (if (= :group kind) "group" (:def node))
           :keys (if (some? k) [(pr-str k)] []), :tags (cond-> [] parallel (conj "parallel") paused (conj "paused"))}
    (= :group kind) (assoc :children (mapv told children))
    (= :synth kind) (assoc :controls (mapv (fn [[c v]] [(str c) (numbers v) true]) controls))))

(defn- read-off
  "The tree that is seen, or nil where there is none yet."
  [b]
  (letfn [(plain [node]
            (cond-> (update node :id double)
              (:children node) (update :children #(mapv plain %))
              (:controls node) (update :controls numbers)))]
    (some-> (browser/value b (str "document.querySelector('#tree > li') && " reading)) plain)))

(defn- shows? [s b]
  (eventually #(= (told (sc/query-tree s)) (read-off b))))

(defn- text-of [b id] (browser/value b (str "document.getElementById('" id "').textContent")))

(defn- in-browser
  "Calls `f` with a server, and a browser that shows it."
  [opts f]
  (if (browser/executable)
    (sc/with-server [s (servers/options {:executable "scsynth"})]
      (with-open [^Closeable i (inspector/start! s opts)
                  b (browser/open (inspector/url i))]
        (f s b i)
        (is (= [] (remove #(re-find #"ERR_(INCOMPLETE_CHUNKED|CONNECTION|EMPTY)" (pr-str %)) (browser/errors b))))))
    (servers/skip! "No Chromium is on the PATH: the page is not tested in a browser. apt-get install chromium")))

(def ^:private light
  (synthdef :light [:freq 440, :amp 0.1] (fn [freq amp] (ugens/out:kr 100 (ugens/add freq amp)))))

(deftest ^:soak what-is-seen-is-what-the-server-tells
  (in-browser {:write? true}
    (fn [s b i]
      (let [lfo (sc/add-bus! s)]
        (is (shows? s b))
        (sc/reconcile! s [[:group {:key :mix} (for [n (range 4)] [:synth {:key [:voice n], :def instruments/organ} {:freq (* 110 (inc n)), :amp 0.02}])]
                          [:group {:key :fx, :parallel true}]])
        (sc/map-controls! (sc/node s [:voice 2]) {:amp lfo})
        (sc/pause! (sc/node s [:voice 3]))
        (is (shows? s b))
        (is (= "←" (browser/value b "getComputedStyle(document.querySelector('.chip.bus .v'), '::before').content.replace(/[\" ]/g, '')")) "a bus is shown as one")
        (sc/reconcile! s [[:group {:key :fx} [:synth {:key [:voice 3], :def instruments/organ} {:freq 55}]]
                          [:group {:key :mix} (for [n [2 0 1]] [:synth {:key [:voice n], :def instruments/organ} {:freq 220}])]])
        (is (shows? s b) "what has moved")

        (testing "a control is set by hand"
          (let [synth (sc/node s [:voice 0])]
            (browser/value b (str "(() => { const c = document.querySelector('li[data-id=\"" (:id synth) "\"] .chip[data-control=freq]'); c.click();
                                   const f = document.activeElement; f.value = '123'; f.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'})); })()"))
            (is (eventually #(= 123.0 (:freq (sc/get-controls synth [:freq])))))
            (is (shows? s b))))

        (testing "the server dies and returns"
          (servers/signal! "KILL" (servers/pid s))
          (is (eventually #(= "LOST" (text-of b "status"))))
          (is (eventually #(= "as it was seen last" (text-of b "tree-note"))))
          (sc/boot! s)
          (is (eventually #(= "ONLINE" (text-of b "status"))))
          (is (shows? s b))
          (sc/add-synthdefs! s light)
          (sc/add-synth! s light)
          (is (shows? s b))
          (sc/reboot! s)
          (is (eventually #(= "ONLINE" (text-of b "status"))))
          (is (shows? s b)))

        (testing "the inspector ends"
          (inspector/stop! i)
          (is (eventually #(= "NO CONNECTION" (text-of b "status")))))))))

(deftest ^:soak a-browser-comes-again
  (when (browser/executable)
    (sc/with-server [s (servers/options {:executable "scsynth"})]
      (with-open [^Closeable i (inspector/start! s)
                  line (pages/line (pages/port-of (inspector/url i)))
                  b    (browser/open (inspector/url i) (str "--proxy-server=http://127.0.0.1:" (pages/line-port line)) "--proxy-bypass-list=<-loopback>")]
        (sc/add-synthdefs! s light)
        (let [synth (sc/add-synth! s light)]
          (is (shows? s b))
          (browser/value b "window.seen = []; new MutationObserver(() => seen.push(document.getElementById('status').textContent)).observe(document.getElementById('status'), {childList: true, characterData: true, subtree: true})")
          (pages/cut! line)
          (sc/free! synth)
          (sc/add-synth! s light {:freq 220})
          (is (eventually #(= ["NO CONNECTION" "ONLINE"] (browser/value b "seen"))))
          (is (shows? s b)))))))

(defn- milliseconds [f]
  (let [began (System/nanoTime)]
    (f)
    (quot (- (System/nanoTime) began) 1000000)))

(deftest ^:soak a-thousand-nodes-stay-smooth
  (in-browser {}
    (fn [s b _]
      (sc/add-synthdefs! s light)
      (browser/value b "window.longest = 0; new PerformanceObserver((l) => { for (const e of l.getEntries()) longest = Math.max(longest, e.duration); }).observe({type: 'longtask'})")
      (let [groups (sc/at s nil (vec (repeatedly 50 #(sc/add-group! s {:action :tail}))))
            synths (sc/at s nil (vec (for [g groups, _ (range 19)] (sc/add-synth! s light {} {:target g, :action :tail}))))
            id     (:id (peek synths))
            seen   (fn [f] (is (eventually f)))]
        (is (shows? s b))
        (is (= 1002 (browser/value b "document.querySelectorAll('#tree li').length")))
        (let [making  (browser/value b "const made = longest; longest = 0; made")
              ;; From the call to what is drawn, by a promise that looks at each frame.
              latency (vec (for [n (range 10)]
                             (milliseconds
                               (fn []
                                 (sc/set-controls! (peek synths) {:freq (+ 1000 n)})
                                 (browser/value b (str "new Promise((done) => { const look = () => document.querySelector('li[data-id=\"" id "\"] .chip[data-control=freq] .v').textContent === '"
                                                       (+ 1000 n) "' ? done(true) : requestAnimationFrame(look); look(); })"))))))
              moves   (milliseconds (fn []
                                      (sc/at s nil (run! #(sc/move! % :head (first groups)) (take 300 (drop 19 synths))))
                                      (seen #(shows? s b))))]
          (println (str "1,000 nodes in a browser: making them held the page up for " (long making) " ms at the longest; of one change until it is seen "
                        (apply min latency) " to " (apply max latency) " ms; 300 moves were seen after " moves " ms; held up for "
                        (long (browser/value b "longest")) " ms at the longest since"))
          (is (< (apply min latency) 2000)))))))
