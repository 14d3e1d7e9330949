package fraudwindows;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RawValueData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;

/** The row of a record batch that the reader stands on. Valid until the reader moves on. */
final class ArrowRow implements RowData {

    private final ArrowColumn[] columns;
    private int row;
    private RowKind kind = RowKind.INSERT;

    ArrowRow(ArrowColumn[] columns) {
        this.columns = columns;
    }

    void moveTo(int next) {
        row = next;
    }

    @Override
    public int getArity() {
        return columns.length;
    }

    @Override
    public RowKind getRowKind() {
        return kind;
    }

    @Override
    public void setRowKind(RowKind next) {
        kind = next;
    }

    @Override
    public boolean isNullAt(int column) {
        return columns[column].isNull(row);
    }

    @Override
    public boolean getBoolean(int column) {
        return columns[column].getBoolean(row);
    }

    @Override
    public int getInt(int column) {
        return columns[column].getInt(row);
    }

    @Override
    public long getLong(int column) {
        return columns[column].getLong(row);
    }

    @Override
    public double getDouble(int column) {
        return columns[column].getDouble(row);
    }

    @Override
    public StringData getString(int column) {
        return columns[column].getString(row);
    }

    @Override
    public byte[] getBinary(int column) {
        return columns[column].getBinary(row);
    }

    @Override
    public DecimalData getDecimal(int column, int precision, int scale) {
        return columns[column].getDecimal(row, precision, scale);
    }

    @Override
    public TimestampData getTimestamp(int column, int precision) {
        return columns[column].getTimestamp(row);
    }

    @Override
    public byte getByte(int column) {
        throw new UnsupportedOperationException("TINYINT");
    }

    @Override
    public short getShort(int column) {
        throw new UnsupportedOperationException("SMALLINT");
    }

    @Override
    public float getFloat(int column) {
        throw new UnsupportedOperationException("FLOAT");
    }

    @Override
    public <T> RawValueData<T> getRawValue(int column) {
        throw new UnsupportedOperationException("RAW");
    }

    @Override
    public ArrayData getArray(int column) {
        throw new UnsupportedOperationException("ARRAY");
    }

    @Override
    public MapData getMap(int column) {
        throw new UnsupportedOperationException("MAP");
    }

    @Override
    public RowData getRow(int column, int fields) {
        throw new UnsupportedOperationException("ROW");
    }
}
