// A log read by Go's own libraries for transparency logs, those that hold the sums of its modules:
// evidence BASE OLDER CHANGE..., where BASE is the address of the log, OLDER a file with a former
// checkpoint, and each CHANGE one whose proof is asked for.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// remote reads tiles of hashes, and remembers those that were held to a signed root.
type remote struct {
	base string
	held map[tlog.Tile][]byte
}

func (r *remote) Height() int { return height }

// ReadTiles maps the path of a tile, tile/8/L/N, to that of C2SP: tile/L/N.
func (r *remote) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		body, known := r.held[tile]
		if !known {
			path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
			if body, err = get(r.base + "/tile/" + path); err != nil {
				return nil, err
			}
		}
		data = append(data, body)
	}
	return data, nil
}

func (r *remote) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, tile := range tiles {
		r.held[tile] = data[i]
	}
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return body, err
}

// must ends the program by the first thing that does not hold.
func must[T any](value T, err error) T {
	hold(err)
	return value
}

func hold(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "it does not hold:", err)
		os.Exit(1)
	}
}

// open verifies a checkpoint, and reads what it is of.
func open(text []byte, verifier note.Verifier) tlog.Tree {
	signed := must(note.Open(text, note.VerifierList(verifier)))
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		hold(fmt.Errorf("no checkpoint of %s: %q", verifier.Name(), signed.Text))
	}
	return tlog.Tree{
		N:    must(strconv.ParseInt(lines[1], 10, 64)),
		Hash: must(tlog.ParseHash(lines[2])),
	}
}

// entries reads the leaves of a tree, each behind its length in two bytes.
func entries(base string, size int64) (leaves [][]byte) {
	for size > int64(len(leaves)) {
		from := int64(len(leaves))
		tile := tlog.Tile{H: height, L: -1, N: from >> height, W: 1 << height}
		if size-from < int64(tile.W) {
			tile.W = int(size - from)
		}
		path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/data/", height))
		rest := must(get(base + "/tile/entries/" + path))
		for range make([]struct{}, tile.W) {
			length := 2 + int(rest[0])<<8 + int(rest[1])
			leaves, rest = append(leaves, rest[2:length]), rest[length:]
		}
		if len(rest) > 0 {
			hold(fmt.Errorf("%d bytes behind the last leaf of %s", len(rest), path))
		}
	}
	return leaves
}

// prove holds a proof that the log serves of a change against what it is signed by.
func prove(base, change string, verifier note.Verifier, leaves [][]byte) {
	head, signed, _ := strings.Cut(string(must(get(base+"/proof/"+change))), "\n\n")
	tree, lines := open([]byte(signed), verifier), strings.Split(head, "\n")
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		proof = append(proof, must(tlog.ParseHash(line)))
	}
	if !strings.Contains(string(leaves[index]), change) {
		hold(fmt.Errorf("leaf %d is not of %s", index, change))
	}
	hold(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaves[index])))
}

func main() {
	base, older, changes := os.Args[1], must(os.ReadFile(os.Args[2])), os.Args[3:]
	// The first key is the log's own. The second one's kind is not of these libraries.
	keys := strings.Fields(string(must(get(base + "/key"))))
	verifier := must(note.NewVerifier(keys[0]))
	tree, former := open(must(get(base+"/checkpoint")), verifier), open(older, verifier)
	hashes := tlog.TileHashReader(tree, &remote{base, map[tlog.Tile][]byte{}})
	if root := must(tlog.TreeHash(tree.N, hashes)); root != tree.Hash {
		hold(fmt.Errorf("the tiles' root is %v, not %v", root, tree.Hash))
	}
	leaves := entries(base, tree.N)
	for index, leaf := range leaves {
		proof := must(tlog.ProveRecord(tree.N, int64(index), hashes))
		hold(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(leaf)))
	}
	if former.N < 1 || former.N >= tree.N {
		hold(fmt.Errorf("the former tree has %d leaves of %d", former.N, tree.N))
	}
	proof := must(tlog.ProveTree(tree.N, former.N, hashes))
	hold(tlog.CheckTree(proof, tree.N, tree.Hash, former.N, former.Hash))
	for _, change := range changes {
		prove(base, change, verifier, leaves)
	}
	fmt.Printf("Go's sumdb reads a log of %d leaves, %d before, and all of it holds\n", tree.N, former.N)
}
