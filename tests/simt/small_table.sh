# small_table ROWS: a table of two numbers, the first of which is missing here and there, and a category.
small_table() {
  python3 - "$1" <<'PYTHON'
import random, sys
random.seed(1)
print("a,b,kind")
for row in range(int(sys.argv[1])):
    a = random.gauss(0, 1)
    print(f"{a:.3f},{a + random.gauss(0, .5):.3f},{random.choice('uvw')}" if row % 9 else f",{a:.2f},u")
PYTHON
}
