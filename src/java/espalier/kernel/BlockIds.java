package espalier.kernel;

import java.util.Map;
import java.util.OptionalInt;
import java.util.TreeMap;

/**
 * Hands out ranges of consecutive numbers, as buffers and buses need them: first fit, and what is freed joins its free
 * neighbours.
 */
public final class BlockIds {

  private final int first;
  private final int end;
  private final TreeMap<Integer, Integer> free = new TreeMap<>();
  private final TreeMap<Integer, Integer> used = new TreeMap<>();

  /**
   * Numbers from {@code first} on.
   *
   * @param first the lowest number, 0 or more
   * @param count how many there are, 0 or more
   */
  public BlockIds(int first, int count) {
    if (first < 0 || count < 0) {
      throw new IllegalArgumentException("Numbers from " + first + ", " + count + " of them: neither may be negative");
    }
    this.first = first;
    this.end = Math.addExact(first, count);
    if (count > 0) {
      free.put(first, count);
    }
  }

  /**
   * The lowest free range of {@code count} numbers.
   *
   * @param count how many, 1 or more
   * @return its first number, or empty when none is left
   * @throws IllegalArgumentException where {@code count} is less than 1
   */
  public synchronized OptionalInt allocate(int count) {
    if (count < 1) {
      throw new IllegalArgumentException("A range has 1 number or more, not " + count);
    }
    for (Map.Entry<Integer, Integer> hole : free.entrySet()) {
      int start = hole.getKey();
      int length = hole.getValue();
      if (length >= count) {
        free.remove(start);
        putFree(start + count, length - count);
        used.put(start, count);
        return OptionalInt.of(start);
      }
    }
    return OptionalInt.empty();
  }

  /**
   * Takes a certain range.
   *
   * @param start its first number
   * @param count how many, 1 or more
   * @return false where not all of it is free; nothing is taken then
   * @throws IllegalArgumentException where {@code count} is less than 1
   */
  public synchronized boolean claim(int start, int count) {
    if (count < 1) {
      throw new IllegalArgumentException("A range has 1 number or more, not " + count);
    }
    Map.Entry<Integer, Integer> hole = free.floorEntry(start);
    if (hole == null || hole.getKey() + (long) hole.getValue() < start + (long) count) {
      return false;
    }
    int from = hole.getKey();
    int to = from + hole.getValue();
    free.remove(from);
    putFree(from, start - from);
    putFree(start + count, to - start - count);
    used.put(start, count);
    return true;
  }

  /**
   * Gives a range back.
   *
   * @param start its first number
   * @return false where none that was handed out begins there
   */
  public synchronized boolean free(int start) {
    Integer length = used.remove(start);
    if (length == null) {
      return false;
    }
    int from = start;
    int to = start + length;
    Map.Entry<Integer, Integer> below = free.lowerEntry(start);
    if (below != null && below.getKey() + below.getValue() == from) {
      from = below.getKey();
    }
    Integer above = free.remove(to);
    putFree(from, to + (above == null ? 0 : above) - from);
    return true;
  }

  private void putFree(int start, int length) {
    if (length > 0) {
      free.put(start, length);
    }
  }

  /**
   * How large a range is that was handed out.
   *
   * @param start its first number
   * @return how many numbers it has; 0 where none begins there
   */
  public synchronized int sizeOf(int start) {
    return used.getOrDefault(start, 0);
  }

  /** {@return how many numbers are free, in however many pieces} */
  public synchronized int available() {
    return free.values().stream().mapToInt(Integer::intValue).sum();
  }

  /** {@return the lowest number} */
  public int first() {
    return first;
  }

  /** {@return the number after the highest} */
  public int end() {
    return end;
  }
}
